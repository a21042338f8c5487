-- Asks Countersign's decision listener before a request goes on. HAProxy has `auth_request`
-- of its own for nothing but Lua: this is all of it.

-- Where it listens.
local decision = "http://127.0.0.1:8081/"

-- Fields of one connection, or of a body that stays here.
local hop = {
  ["host"] = true, ["content-length"] = true, ["transfer-encoding"] = true, ["te"] = true,
  ["connection"] = true, ["keep-alive"] = true, ["expect"] = true, ["trailer"] = true,
}

-- Fields of an answer that are not the backend's.
local answers_own = {
  ["content-length"] = true, ["cache-control"] = true, ["date"] = true, ["connection"] = true,
  ["countersign-remove"] = true, ["countersign-uri"] = true,
}

-- A name as a careless backend reads it: in lower case, and one `-` for whatever is no letter.
local function folded(name)
  return (name:lower():gsub("[^%w]+", "-"):gsub("^%-", ""):gsub("%-$", ""))
end

local function is_of_a_gateway(name)
  return name == "countersign" or name:find("^countersign%-") or name:find("^x%-forwarded%-")
    or name:find("^x%-original%-") or name:find("^x%-rewrite%-") or name == "x-real-ip"
    or name == "forwarded" or name == "x-request-id"
end

-- A question has a few fields more than the request. With more than 101 (tune.http.maxhdr)
-- HAProxy's HTTP client does not fail, but ends the process; the other is half its buffer.
local most_fields, most_bytes = 80, 32768

local function refuse(txn, answer)
  local known = answer and answer.status and answer.status >= 400
  local reply = txn:reply { status = known and answer.status or 503 }
  if known then
    for name, values in pairs(answer.headers) do
      if not hop[name] then
        for _, value in pairs(values) do reply:add_header(name, value) end
      end
    end
    reply:set_body(answer.body or "")
  end
  txn:done(reply)
end

core.register_action("countersign", { "http-req" }, function(txn)
  local http = txn.http
  local uri = txn.f:pathq()
  if not uri or uri:sub(1, 1) ~= "/" then
    -- `OPTIONS *` is about no site.
    return txn:done(txn:reply { status = 400 })
  end
  local question, fields, bytes = {}, 0, #uri
  for name, values in pairs(http:req_get_headers()) do
    for index = 0, #values do
      fields, bytes = fields + 1, bytes + #name + #values[index] + 4
    end
    if is_of_a_gateway(folded(name)) then
      -- Whatever a client says in Countersign's name or a gateway's, in any spelling.
      http:req_del_header(name)
    elseif not hop[name] then
      question[name] = {}
      for index = 0, #values do question[name][index + 1] = values[index] end
    end
  end
  if fields > most_fields or bytes > most_bytes then
    return txn:done(txn:reply { status = 431 })
  end
  question["x-forwarded-method"] = { txn.f:method() }
  question["x-forwarded-host"] = { txn.f:req_fhdr("host") }
  question["x-forwarded-uri"] = { uri }
  question["x-forwarded-for"] = { txn.f:src() }

  local answer = core.httpclient():get { url = decision, headers = question, timeout = 2000 }
  if not answer or answer.status ~= 200 or not answer.headers["countersign-uri"] then
    return refuse(txn, answer)
  end
  local gone = answer.headers["countersign-remove"]
  for name in (gone and gone[0] or ""):gmatch("[^,]+") do http:req_del_header(name) end
  for name, values in pairs(answer.headers) do
    if not answers_own[name] then
      http:req_del_header(name)
      for index = 0, #values do http:req_add_header(name, values[index]) end
    end
  end
  -- What `Connection` names, others behind this would drop.
  local upgrades = http:req_get_headers()["upgrade"] ~= nil
  http:req_del_header("connection")
  if upgrades then http:req_add_header("connection", "Upgrade") end
  -- Without a credential that was used and claims that nothing proved.
  http:req_set_uri(answer.headers["countersign-uri"][0])
end)

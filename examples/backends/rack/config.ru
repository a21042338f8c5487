# Rack (Rails, Sinatra) with ruby-jwt: answers nobody but those whom Countersign vouches for.
#
#   COUNTERSIGN_JWKS=http://127.0.0.1:8080/.well-known/countersign/jwks.json \
#   COUNTERSIGN_SITE=acme-support puma -b tcp://127.0.0.1:3000 rack/config.ru

require "json"
require "jwt"
require "net/http"

class Countersigned
  JWKS = URI(ENV.fetch("COUNTERSIGN_JWKS"))
  EXPECTED = {
    algorithms: ["ES256"],
    verify_iss: true, iss: "countersign",
    verify_aud: true, aud: ENV.fetch("COUNTERSIGN_SITE"),
    required_claims: %w[iss aud iat exp],
    leeway: 5
  }.freeze

  def initialize(app)
    @app = app
    @lock = Mutex.new
  end

  def call(env)
    begin
      env["countersign.visitor"] = read(env["HTTP_COUNTERSIGN_ASSERTION"].to_s)
    rescue StandardError => error
      env["rack.errors"].puts("refused: #{error.message}")
      headers = { "content-type" => "text/plain", "www-authenticate" => "Countersign-Assertion" }
      return [401, headers, ["Only through Countersign."]]
    end
    @app.call(env)
  end

  private

  # What the assertion says; raises if it proves nothing.
  def read(assertion)
    # Rack joins two headers by a comma.
    raise "not exactly one Countersign-Assertion" unless assertion.match?(/\A([\w-]+\.){2}[\w-]+\z/)

    loader = ->(options) { keys(options[:kid_not_found]) }
    payload, header = JWT.decode(assertion, nil, true, jwks: loader, **EXPECTED)
    raise "a token of another kind" unless header["typ"] == "countersign+jwt"
    # The library's own look at it knows no leeway.
    raise "issued in the future" if payload["iat"] > Time.now.to_i + 5

    payload
  end

  # Fetched when first needed; again after five minutes, or for an unknown key, if the last time
  # was five seconds ago.
  def keys(unknown)
    @lock.synchronize do
      now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      next @keys if @keys && now - @fetched < (unknown ? 5 : 300)

      options = { use_ssl: JWKS.scheme == "https", open_timeout: 3, read_timeout: 3 }
      answer = Net::HTTP.start(JWKS.host, JWKS.port, **options) { |http| http.get(JWKS.request_uri) }
      answer.value # Raises unless it is a 2xx.
      @fetched = now
      @keys = JSON.parse(answer.body, symbolize_names: true)
    end
  end
end

# --- The application. ---

use Countersigned
run(lambda do |env|
  visitor = env["countersign.visitor"]
  names = %w[status name email attributes claimed details]
  who = { id: visitor["sub"] }.merge(names.to_h { |name| [name, visitor[name]] })
  [200, { "content-type" => "application/json" }, [JSON.generate(who)]]
end)

<?php
// Zendesk Chat: the token for the widget's `jwtFn`. At most seven minutes are allowed.
//
//   CHAT_SECRET=... php zendesk-chat/sign.php user-123 Ana ana@acme.example
//
// No package is needed: a token is two segments and their HMAC.

function segment(string $bytes): string
{
    return rtrim(strtr(base64_encode($bytes), "+/", "-_"), "=");
}

// From your session, never from the request.
[, $external_id, $name, $email] = $argv;

$now = time();
$header = ["typ" => "JWT", "alg" => "HS256"];
$visitor = [
    "external_id" => $external_id,
    "name" => $name,
    "email" => $email,
    "iat" => $now,
    "exp" => $now + 300,
];

$signed = segment(json_encode($header)) . "." . segment(json_encode($visitor, JSON_THROW_ON_ERROR));
// `true`: the bytes themselves, not their hexadecimal digits.
$signature = hash_hmac("sha256", $signed, getenv("CHAT_SECRET"), true);
echo $signed, ".", segment($signature), "\n";

<?php
// PHP with its OpenSSL: what Countersign vouches for. No package is needed; APCu keeps the keys
// between requests. With Composer, firebase/php-jwt does the same.

namespace Countersign;

use RuntimeException;
use stdClass;

/** What the request's one assertion says; throws if it proves nothing. */
function read(): stdClass
{
    // PHP joins two headers by a comma.
    $assertion = $_SERVER["HTTP_COUNTERSIGN_ASSERTION"] ?? "";
    if (!preg_match('/\A([\w-]+)\.([\w-]+)\.([\w-]+)\z/', $assertion, $segment)) {
        throw new RuntimeException("not exactly one Countersign-Assertion");
    }
    [$header, $claims] = [json(bytes($segment[1])), json(bytes($segment[2]))];
    $kind = [$header->alg ?? null, $header->typ ?? null];
    if ($kind !== ["ES256", "countersign+jwt"] || !is_string($header->kid ?? null)) {
        throw new RuntimeException("a token of another kind");
    }
    $signature = der(bytes($segment[3]));
    $signed = "$segment[1].$segment[2]";
    if (openssl_verify($signed, $signature, key($header->kid), OPENSSL_ALGO_SHA256) !== 1) {
        throw new RuntimeException("not the signature");
    }
    $for = [$claims->iss ?? null, $claims->aud ?? null];
    if ($for !== ["countersign", getenv("COUNTERSIGN_SITE")]) {
        throw new RuntimeException("not for this site");
    }
    // Five seconds for clocks that differ; what is absent is out of date.
    if (($claims->iat ?? INF) > time() + 5 || ($claims->exp ?? 0) <= time() - 5) {
        throw new RuntimeException("not at this time");
    }
    return $claims;
}

/** A public key in PEM. */
function key(string $kid): string
{
    // Fetched when first needed, and again after five minutes; for an unknown key in between,
    // but for all of those once in five seconds.
    $keys = apcu_entry("countersign-keys", fetch(...), 300);
    if (!isset($keys[$kid])) {
        $keys = apcu_entry("countersign-keys-" . intdiv(time(), 5), fetch(...), 10);
        apcu_store("countersign-keys", $keys, 300);
    }
    $point = bytes($keys[$kid]->x ?? "") . bytes($keys[$kid]->y ?? "");
    if (strlen($point) !== 64) {
        throw new RuntimeException("not a key of Countersign");
    }
    // RFC 5480: a public key, on P-256, not compressed.
    $der = hex2bin("3059301306072a8648ce3d020106082a8648ce3d03010703420004") . $point;
    return "-----BEGIN PUBLIC KEY-----\n" . base64_encode($der) . "\n-----END PUBLIC KEY-----\n";
}

/** The key set, by `kid`. */
function fetch(): array
{
    $patience = stream_context_create(["http" => ["timeout" => 3, "follow_location" => 0]]);
    $set = json((string) @file_get_contents(getenv("COUNTERSIGN_JWKS"), false, $patience));
    return array_column($set->keys, null, "kid");
}

/** A signature as OpenSSL has it: two integers in DER, which are two halves in a JWT. */
function der(string $signature): string
{
    $integers = "";
    foreach (str_split($signature, 32) as $half) {
        $half = ltrim($half, "\0");
        $half = $half === "" || ord($half[0]) > 127 ? "\0$half" : $half;
        $integers .= "\x02" . chr(strlen($half)) . $half;
    }
    return strlen($signature) === 64 ? "\x30" . chr(strlen($integers)) . $integers : "";
}

function bytes(string $base64url): string
{
    return (string) base64_decode(strtr($base64url, "-_", "+/"), true);
}

function json(string $text): stdClass
{
    $value = json_decode($text, false, 512, JSON_THROW_ON_ERROR);
    return $value instanceof stdClass ? $value : throw new RuntimeException("not an object");
}

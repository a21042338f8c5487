<?php
// An application that answers nobody but those whom Countersign vouches for.
//
//   COUNTERSIGN_JWKS=http://127.0.0.1:8080/.well-known/countersign/jwks.json \
//   COUNTERSIGN_SITE=acme-support php -S 127.0.0.1:3000 php/index.php

require __DIR__ . "/countersigned.php";

try {
    $visitor = Countersign\read();
} catch (Throwable $error) {
    error_log("refused: " . $error->getMessage());
    header("WWW-Authenticate: Countersign-Assertion");
    http_response_code(401);
    exit("Only through Countersign.");
}

// --- The application. ---

$who = ["id" => $visitor->sub ?? null];
foreach (["status", "name", "email", "attributes", "claimed", "details"] as $name) {
    $who[$name] = $visitor->$name ?? null;
}
header("Content-Type: application/json");
echo json_encode($who, JSON_THROW_ON_ERROR);

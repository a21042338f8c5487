<?php
// UChat's `identifier_hash`: proves the user id. Name and email are not covered by it.
//
//   CHAT_SECRET=... php user-hash/hash.php user-123

// From your session, never from the request.
$user_id = $argv[1];

echo hash_hmac("sha256", $user_id, getenv("CHAT_SECRET")), "\n";

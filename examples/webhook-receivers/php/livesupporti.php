<?php
// The website's server: it is told that a chat has begun, looks the visitor up by email, and
// sends back what the shop knows of them. LiveSupporti's format; PHP 8 alone. To try it out:
// php -S 127.0.0.1:8090 livesupporti.php
declare(strict_types=1);

// In the place of a database.
const CUSTOMERS = [
    "ana@acme.example" => ["Name" => "Ana Torres", "Plan" => "Gold", "Open orders" => "2"],
    "ben@acme.example" => ["Name" => "Ben Okafor", "Plan" => "Free", "Open orders" => "0"],
];

/** Over the bytes as they came: JSON that was parsed and written again has others. */
function is_signed(string $header, string $body): bool
{
    $given = preg_match('/^sha256=([0-9A-Fa-f]{64})$/D', $header, $found) ? strtolower($found[1]) : "";
    return hash_equals(hash_hmac("sha256", $body, getenv("SECRET")), $given);
}

/** Only what the website itself signed is in `Email`: nobody is found by a mere claim. */
function chat_started(array $data): bool
{
    $visitor = $data["Visitor"];
    $customer = CUSTOMERS[$visitor["Email"] ?? ""] ?? null;
    if ($customer === null) {
        return true;
    }
    $fields = array_map(fn($name, $value) => compact("name", "value"), array_keys($customer), $customer);
    $details = ["AccountId" => $data["AccountId"], "AgentId" => $data["AgentId"], "VisitorId" => $visitor["Id"], "Fields" => $fields];
    $basic = base64_encode(getenv("DETAILS_USER") . ":" . getenv("DETAILS_PASSWORD"));
    $url = getenv("DETAILS_URL") . "/api/visitors/" . rawurlencode($visitor["Id"]) . "/details";
    $answer = @file_get_contents($url, false, stream_context_create(["http" => [
        "method" => "POST", "timeout" => 5, "content" => json_encode($details, JSON_THROW_ON_ERROR),
        "header" => ["Content-Type: application/json; charset=utf-8", "Authorization: Basic $basic"],
    ]]));
    return $answer !== false; // false, unless it is answered 2xx
}

header("Content-Type: text/plain");
header("X-Content-Type-Options: nosniff");
header("Access-Control-Allow-Origin: " . (getenv("ORIGIN") ?: "https://livesupporti.com"));
header("Access-Control-Allow-Methods: GET, POST");
header("Access-Control-Allow-Headers: Content-Type");

$method = $_SERVER["REQUEST_METHOD"];
if ($method === "GET" && is_string($_GET["echo"] ?? null)) {
    exit($_GET["echo"]);
}
if ($method !== "POST") {
    http_response_code($method === "OPTIONS" ? 204 : 405);
    exit;
}
$body = file_get_contents("php://input");
if (!is_signed($_SERVER["HTTP_MS_SIGNATURE"] ?? "", $body)) {
    http_response_code(401);
    exit("The signature does not fit.\n");
}
$event = json_decode($body, true, 32, JSON_THROW_ON_ERROR);
// A file for each event that was done: the same may come twice. Yours is a unique column.
$done = (getenv("DONE_FOLDER") ?: sys_get_temp_dir()) . "/webhook-" . hash("sha256", $event["Id"]);
if (!file_exists($done)) {
    foreach ($event["Notifications"] as ["Action" => $action, "Data" => $data]) {
        if ($action === "chat.started" && !chat_started($data)) {
            http_response_code(500); // what is not answered 2xx comes again
            exit;
        }
    }
    touch($done);
}

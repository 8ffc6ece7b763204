<?php
// The sample in RealCast's document.
function verifyWebhookSignature($payload, $signature, $secret) {
    $expectedSignature = 'sha256=' . hash_hmac('sha256', $payload, $secret);
    return hash_equals($signature, $expectedSignature);
}

$payload = file_get_contents('php://input');
$signature = $_SERVER['HTTP_X_REALCAST_SIGNATURE'];

if (verifyWebhookSignature($payload, $signature, WEBHOOK_SECRET)) {
    // Process webhook
    $data = json_decode($payload, true);
} else {
    http_response_code(401);
    die('Invalid signature');
}
?>

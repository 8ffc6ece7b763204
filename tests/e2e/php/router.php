<?php
// What PHP's own web server runs for each request: one of the samples. Of Laravel there is as much here as its sample
// asks for, and the answer says what the controller did with the events.
error_reporting(E_ALL);
set_error_handler(function (int $level, string $text) {
    throw new ErrorException($text);
});
define('WEBHOOK_SECRET', getenv('SECRET'));

class Json
{
    public function __construct(private string $text) {}

    public function all(): array
    {
        return json_decode($this->text, true, flags: JSON_THROW_ON_ERROR);
    }
}

class Request
{
    private string $content;

    public function __construct()
    {
        $this->content = file_get_contents('php://input');
    }

    public function header(string $name): ?string
    {
        return $_SERVER['HTTP_' . strtoupper(str_replace('-', '_', $name))] ?? null;
    }

    public function getContent(): string
    {
        return $this->content;
    }

    public function json(): Json
    {
        return new Json($this->content);
    }
}

class Controller
{
    public static array $called = [];

    public function __call(string $method, array $arguments): void
    {
        self::$called[] = $method;
    }
}

class Route
{
    public static array $routes = [];

    public static function post(string $path, array $action): void
    {
        self::$routes[$path] = $action;
    }
}

class DB
{
    public static array $rows = [];

    public static function table(string $name): self
    {
        return new self();
    }

    public function insert(array $row): void
    {
        self::$rows[] = $row;
    }
}

function now(): int
{
    return time();
}

function config(string $key): string
{
    return $key === 'broadcasting.connections.pusher.secret' ? WEBHOOK_SECRET : throw new Exception($key);
}

function response(string $text, int $status): array
{
    return [$text, $status];
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/webhooks/realcast') {
    require __DIR__ . '/realcast.php';
    header('Content-Type: application/json');
    echo json_encode($data);
    return;
}
require __DIR__ . '/sockudo.php';
[$class, $method] = Route::$routes[$path];
[$text, $status] = (new $class())->$method(new Request());
http_response_code($status);
header('Content-Type: application/json');
echo json_encode(['said' => $text, 'called' => Controller::$called, 'rows' => DB::$rows]);

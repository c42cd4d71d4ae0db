<?php
// PHP's PDO driver and its pg_ functions; prints answers as programs.py reads them.
declare(strict_types=1);

$running = '';

function line(string $question, string $answer): void
{
    global $running;
    $escape = fn (string $text) => strtr($text, ['\\' => '\\\\', "\t" => '\\t', "\n" => '\\n', "\r" => '\\r']);
    echo $running, "\t", $escape($question), "\t", $escape($answer), "\n";
}

function opened(bool $emulated = false): PDO
{
    return new PDO(sprintf("pgsql:host=%s;port=%s;dbname=loyalhouse;application_name='%s';options='-c TimeZone=%s'", getenv('SERVER_HOST'), getenv('SERVER_PORT'),
        getenv('APPLICATION'), getenv('TIME_ZONE')), 'analyst', null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => $emulated]);
}

function spell(mixed $value): string
{
    if (is_resource($value)) {
        return 'bytes ' . bin2hex(stream_get_contents($value));
    }
    return $value === null ? 'NULL' : gettype($value) . ' ' . (is_bool($value) ? ($value ? 'true' : 'false') : $value);
}

function rows(PDOStatement $statement): string
{
    return implode("\n", array_map(fn (array $row) => implode(' | ', array_map('spell', $row)), $statement->fetchAll(PDO::FETCH_NUM)));
}

function ask(PDO $db, string $sql, array $values = []): string
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return rows($statement);
}

function attempt(callable $action): string
{
    try {
        return $action();
    } catch (PDOException $error) {
        return '! ' . $error->getCode();
    }
}

function answers(string $section, callable $ask): void
{
    foreach (file(getenv('QUESTIONS'), FILE_IGNORE_NEW_LINES) as $text) {
        $fields = explode("\t", $text);
        if (count($fields) === 3 && $fields[0] === $section) {
            line($fields[1], attempt(fn () => $ask($fields[2])));
        }
    }
}

function inOrder(iterable $rows): void
{
    $expected = 0;
    foreach ($rows as [$id, $label]) {
        $expected++;
        if ((int) $id !== $expected || $label !== "line $expected") {
            throw new RuntimeException("row $expected is $id");
        }
    }
    if ($expected !== (int) getenv('LINES')) {
        throw new RuntimeException("$expected rows");
    }
}

$parameters = function (PDO $db): void {
    foreach ([['SELECT ?::int4 + 1', 41], ['SELECT ?::numeric', '-12.3450'], ['SELECT ?::text', "it's \\ here"], ['SELECT ?::date', '2024-02-29'], ['SELECT ?::bool', null],
        ['SELECT name FROM customers WHERE id = ?', 5], ['SELECT count(*) FROM customers WHERE joined >= ? AND city = ?', '2022-01-01', 'Oslo'],
        ['SELECT id FROM customers ORDER BY id LIMIT ?', 2], ['SELECT count(*) FROM orders WHERE amount > ?', '150.5']] as $each) {
        $sql = array_shift($each);
        line($sql, attempt(fn () => ask($db, $sql, $each)));
    }
    $statement = $db->prepare('SELECT :flag::bool, :bytes::bytea');
    $statement->bindValue('flag', true, PDO::PARAM_BOOL);
    $statement->bindValue('bytes', "\x00\xff", PDO::PARAM_LOB);
    line('bound', attempt(function () use ($statement) { $statement->execute(); return rows($statement); }));
};

$cases = [
    'connect' => function (): void {
        $db = opened();
        line('version', (string) (int) $db->getAttribute(PDO::ATTR_SERVER_VERSION));
        line('status', $db->getAttribute(PDO::ATTR_CONNECTION_STATUS));
        line('asked', ask($db, "SELECT current_user, current_setting('application_name'), current_setting('TimeZone')"));
    },
    'query' => fn () => answers('query', fn (string $sql) => rows(opened()->query($sql))),
    'parameters' => fn () => $parameters(opened()),
    'parameters_emulated' => fn () => $parameters(opened(true)),
    'types_text' => function (): void { $db = opened(); answers('kind', fn (string $kind) => rows($db->query("SELECT $kind"))); },
    'prepared' => function (): void {
        $statement = opened()->prepare('SELECT id, name, joined FROM customers WHERE id = ?');
        for ($id = 1; $id <= (int) getenv('REUSES'); $id++) {
            $statement->execute([$id]);
            line("execution $id", rows($statement));
        }
    },
    'cursor' => function (): void {
        $db = opened();
        $db->beginTransaction();
        $db->exec('DECLARE page NO SCROLL CURSOR FOR SELECT id, label FROM lines ORDER BY id');
        inOrder((function () use ($db) {
            while ($page = $db->query('FETCH 1000 FROM page')->fetchAll(PDO::FETCH_NUM)) {
                yield from $page;
            }
        })());
        $db->commit();
    },
    'copy' => function (): void {
        $db = opened();
        line('customers', implode('', array_slice($db->pgsqlCopyToArray('customers', ';', 'nil', 'id,city,note'), 0, 12)));
        $plain = pg_connect(sprintf('host=%s port=%s dbname=loyalhouse user=analyst', getenv('SERVER_HOST'), getenv('SERVER_PORT')));
        line('orders', implode('', array_slice(pg_copy_to($plain, 'orders'), 0, 3)));
    },
    'errors' => function (): void { $db = opened(); answers('error', fn (string $sql) => rows($db->query($sql))); },
    'transactions' => function (): void {
        $db = opened();
        $db->beginTransaction();
        line('error', attempt(fn () => ask($db, 'SELECT 1/0')));
        line('refused', attempt(fn () => ask($db, 'SELECT 1')));
        $db->rollBack();
        line('after', ask($db, 'SELECT 2') . ($db->inTransaction() ? ' in' : ' out'));
    },
    'metadata' => function (): void {
        $db = opened();
        answers('kind', function (string $kind) use ($db): string {
            $about = $db->query("SELECT $kind")->getColumnMeta(0);
            return "{$about['name']} {$about['native_type']} {$about['pgsql:oid']} {$about['len']} {$about['precision']} {$about['pdo_type']}";
        });
        $plain = pg_connect(sprintf('host=%s port=%s dbname=loyalhouse user=analyst', getenv('SERVER_HOST'), getenv('SERVER_PORT')));
        foreach (pg_meta_data($plain, 'kinds') as $name => $about) {
            line("column $name", json_encode($about));
        }
        $found = pg_query($plain, 'SELECT id, note FROM customers LIMIT 1');
        line('field', pg_field_type($found, 0) . ' ' . pg_field_table($found, 1) . ' ' . pg_field_size($found, 0));
    },
];

foreach (array_slice($argv, 1) as $running) {
    try {
        $cases[$running]();
        line('=ok', '');
    } catch (Throwable $error) {
        line('=error', $error->getMessage());
    }
}

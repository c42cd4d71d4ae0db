"""Tables in an object store (moto's S3 stand-in on loopback): discovery, new objects, and a store that fails."""
import contextlib
import socket
import subprocess
import sys
import time

import fixtures
import wire
from case_folder import until
from fault_proxy import FaultProxy

BUCKET = "loyal"
MOTO_LIMIT = 30.0  # seconds until the stand-in answers
ERROR_BOUND = 60.0  # seconds from a statement to its error when the store is down
FILE_ROWS = 1_000_000
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test", "AWS_REGION": "us-east-1",
               "AWS_ALLOW_HTTP": "true"}
SUM = "SELECT sum(id) FROM big"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Store:
    """moto_server, a bucket with the tables big (two files), customers and crm.accounts, and a proxy in front."""

    def __init__(self, context):
        import boto3
        import moto.server  # noqa: F401 (named when missing)
        self.context, self.port = context, free_port()
        log = (context.work / "moto.log").open("wb")
        self.process = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                                        stdout=log, stderr=log)
        log.close()
        self.proxy = FaultProxy(self.port)
        deadline = time.monotonic() + MOTO_LIMIT
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert time.monotonic() < deadline and self.process.poll() is None, "moto_server does not start"
            time.sleep(0.1)
        self.client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1",
                                   aws_access_key_id="test", aws_secret_access_key="test")
        self.client.create_bucket(Bucket=BUCKET)
        shop = fixtures.shop(context.work)
        for part in range(2):
            self.put(fixtures.big_file(context.work), f"shop/big/part-{part}.parquet")
        self.put(shop / "customers.parquet", "shop/customers.parquet")
        self.put(shop / "crm" / "accounts" / "all.parquet", "shop/crm/accounts/all.parquet")
        self.put(shop / "words.parquet", "elsewhere/words.parquet")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.proxy.close()
        self.process.kill()
        self.process.wait()

    def put(self, path, key):
        self.client.upload_file(str(path), BUCKET, key)

    def serve(self, name):
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}"}
        return self.context.start([f"s3://{BUCKET}/shop"], name, environment=environment)


def case_discovery(context):
    """Tables and schemas of the prefix answer; nothing beside the prefix shows; new and removed objects are seen."""
    with Store(context) as store:
        server = store.serve("s3-discovery")
        try:
            with wire.Wire(server.address) as connection:
                connection.socket.settimeout(60)
                assert connection.value("SELECT count(*) FROM customers") == str(fixtures.CUSTOMERS)
                assert connection.value("SELECT count(*) FROM crm.accounts") == "10"
                assert connection.value("SELECT count(*) FROM big") == str(2 * FILE_ROWS)
                assert connection.value(SUM) == str(FILE_ROWS * (FILE_ROWS - 1))
                try:
                    connection.value("SELECT count(*) FROM words")
                    raise AssertionError("a table from beside the prefix answers")
                except wire.WireError as error:
                    assert error.sqlstate == "42P01", error
            store.put(fixtures.big_file(context.work), "shop/big/part-2.parquet")
            until(context, server, "SELECT count(*) FROM big", str(3 * FILE_ROWS), "object added")
            store.client.delete_object(Bucket=BUCKET, Key="shop/big/part-0.parquet")
            until(context, server, "SELECT count(*) FROM big", str(2 * FILE_ROWS), "object removed")
            store.put(context.work / "shop" / "surveys.parquet", "shop/surveys.parquet")
            until(context, server, "SELECT count(*) FROM surveys", str(fixtures.SURVEYS), "table added")
            secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
            assert secret not in server.log.read_text(errors="replace"), "the secret key is in the log"
        finally:
            server.stop()


def ask(context, connection, sql, rows=None, states=("58030",)):
    """Runs a statement: True for the whole answer, False for an error; anything between is a failure of the case."""
    start = time.monotonic()
    connection.send(wire.query(sql))
    answer = connection.drain(keep=rows is None)
    took = time.monotonic() - start
    if answer.error:
        context.note(f"{answer.error} after {took:.1f} s, {answer.rows} rows before it")
        assert answer.error.sqlstate in states, f"SQLSTATE {answer.error.sqlstate} instead of {' or '.join(states)}"
        assert took < ERROR_BOUND, f"the error took {took:.0f} s"
        return False
    if rows is None:
        assert answer.values == [[str(FILE_ROWS * (FILE_ROWS - 1))]], f"a wrong sum: {answer.values}"
    else:
        assert answer.rows == rows, f"{answer.rows} rows and success instead of {rows}"
    return True


def faulty(kind, every, must, states=("58030",)):
    """A case: the store fails every n-th request for data. `must` says whether the answer has to come (True), must be
    an error (False), or may be either (None)."""
    def run(context):
        with Store(context) as store:
            server = store.serve(f"s3-{kind}-{every}")
            try:
                with wire.Wire(server.address) as connection:
                    connection.socket.settimeout(2 * ERROR_BOUND)
                    assert ask(context, connection, SUM), "a healthy store gives no answer"
                    store.proxy.inject(kind, every)
                    for sql, rows in ((SUM, None), ("SELECT * FROM big", 2 * FILE_ROWS)):
                        answered = ask(context, connection, sql, rows, states)
                        assert must is None or answered == must, f"answered: {answered}"
                    context.note(f"{store.proxy.injected} faults in {store.proxy.requests} requests")
                    if must is not False:
                        assert store.proxy.injected, "no fault was ever injected: the case proves nothing"
                    store.proxy.inject(None)
                    assert ask(context, connection, SUM), "no answer after the store is back"
            finally:
                server.stop()
    return run


def down_at_start(context):
    """A store that does not answer at the start: a clear line and an exit code, or a server that says so per query."""
    from server import StartError
    port = free_port()
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    start = time.monotonic()
    try:
        server = context.start([f"s3://{BUCKET}/shop"], "s3-down", environment=environment)
    except StartError as error:
        said = str(error)
        context.note(f"{time.monotonic() - start:.1f} s: {said.splitlines()[-1][:200]}")
        assert "before it was ready" in said, "it hangs"
        assert f"s3://{BUCKET}/shop" in said or str(port) in said, f"the error does not say which store: {said}"
        return
    server.stop()


WRITES = [
    "CREATE TABLE made AS SELECT n AS id, n AS v FROM generate_series(1, 1000) AS s(n)",
    "CREATE OR REPLACE TABLE t AS SELECT n AS id, n AS v FROM generate_series(1, 1000) AS s(n)",
    "INSERT INTO t SELECT n, n FROM generate_series(1001, 2000) AS s(n)",
    "UPDATE t SET v = v + 1 WHERE id % 2 = 0",
    "DELETE FROM t WHERE id % 3 = 0",
    "MERGE INTO t USING (SELECT n::int AS id FROM generate_series(990, 1010) AS s(n)) s ON t.id = s.id "
    "WHEN MATCHED THEN UPDATE SET v = 0 WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, -1)",
    "COPY t FROM STDIN (FORMAT csv)",
    "OPTIMIZE t",
]
COPIED = b"".join(b"%d,7\n" % number for number in range(5000, 5500))
STATE = "SELECT count(*) || ' ' || sum(id) || ' ' || sum(v) FROM t"


def serve_house(context, store, name):
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.proxy.port}"}
    options = ["--warehouse", str(context.work / name), "--table-store", f"s3://{BUCKET}/house"]
    return context.start([f"s3://{BUCKET}/shop"], name, environment=environment, options=options)


@contextlib.contextmanager
def house(context, store, name, bound=2 * ERROR_BOUND):
    """A server of tables in the bucket, as a connection that waits `bound` seconds for more of an answer."""
    server = serve_house(context, store, name)
    try:
        with wire.Wire(server.address) as connection:
            connection.socket.settimeout(bound)
            yield connection
    finally:
        server.stop()


def outcome(connection, sql):
    """None, or the SQLSTATE."""
    connection.send(wire.query(sql))
    if sql.startswith("COPY"):
        connection.send(wire.message(b"d", COPIED) + wire.message(b"c"))
    answer = connection.drain(keep=False)
    return answer.error and answer.error.sqlstate


def make(connection, table="t", rows=500):
    sql = f"CREATE TABLE {table} AS SELECT n AS id, n AS v FROM generate_series(1, {rows}) AS s(n)"
    assert outcome(connection, sql) is None, sql


def case_house(context):
    """Tables in a bucket: written, changed, there after a restart, gone after a DROP; a second catalog is refused."""
    from server import StartError
    with Store(context) as store:
        with house(context, store, "s3-house") as connection:
            make(connection, rows=1000)
            for sql in [*WRITES, "DROP TABLE made", "BEGIN; INSERT INTO t VALUES (-1, -1); ROLLBACK"]:
                assert outcome(connection, sql) is None, sql
            before = connection.value(STATE)
        try:
            serve_house(context, store, "s3-house-second").stop()
            raise AssertionError("two catalogs have one prefix")
        except StartError as error:
            assert "another warehouse" in str(error), error
        with house(context, store, "s3-house", wire.CONNECT_LIMIT) as connection:
            assert connection.value(STATE) == before
            folders = store.client.list_objects_v2(Bucket=BUCKET, Prefix="house/tables/", Delimiter="/")
            assert len(folders["CommonPrefixes"]) == 1, folders


def disturbed(store, connection, kind, every, sql):
    """The outcome of a write while the store has a fault, and how many requests the fault struck."""
    store.proxy.inject(kind, every)
    state = outcome(connection, sql)
    injected = store.proxy.injected
    store.proxy.inject(None)
    return state, injected


def faulty_house(kind, match):
    """A case: the store fails every request that `match` is in the path of, during each kind of write."""
    def run(context):
        with Store(context) as store, house(context, store, f"s3-house-{kind}-{len(match)}") as connection:
            make(connection)
            assert outcome(connection, "INSERT INTO t VALUES (0, 0)") is None
            store.proxy.match = match
            for sql in WRITES:
                before = connection.value(STATE)
                state, injected = disturbed(store, connection, kind, 1, sql)
                assert injected, f"{sql}: no fault was injected"
                assert state == "58030", f"{sql}: {state}"
                assert connection.value(STATE) == before, f"{sql}: the table has changed"
            for sql in WRITES:
                assert outcome(connection, sql) is None, f"{sql}: after the store is back"
    return run


def slow_house(context):
    """Every answer of the store comes late: writes take their time and are done."""
    with Store(context) as store, house(context, store, "s3-house-slow", 4 * ERROR_BOUND) as connection:
        store.proxy.match = "house/"
        store.proxy.inject("delay", 9)
        make(connection)
        for sql in WRITES:
            assert outcome(connection, sql) is None, sql
        assert store.proxy.injected, "no answer was late"
        slow = connection.value(STATE)
        store.proxy.inject(None)
        assert connection.value(STATE) == slow


def lost_house(match, every):
    """A case: the store does what it is asked, but its answers are lost. A change is there whole or not at all, and it is
    there if the statement said so."""
    def run(context):
        name = f"s3-house-lost-{len(match)}-{every}"
        with Store(context) as store, house(context, store, name, 4 * ERROR_BOUND) as connection:
            make(connection)
            make(connection, "twin")
            store.proxy.match = match
            for sql in WRITES:
                before = connection.value(STATE)
                state, injected = disturbed(store, connection, "lost", every, sql)
                # Of a table of one file there is nothing to put together.
                assert injected or (sql, state) == ("OPTIMIZE t", None), f"{sql}: no answer was lost"
                assert state in (None, "58030"), f"{sql}: {state}"
                now = connection.value(STATE)
                context.note(f"{sql.split()[0]}: {state or 'done'}, {'changed' if now != before else 'as before'}")
                if now != before or (state is None and " t " in f"{sql} "):
                    twin = sql.replace(" t ", " twin ").replace(" t.", " twin.")
                    if twin != "OPTIMIZE t":
                        assert outcome(connection, twin) is None, twin
                    assert connection.value(STATE.replace("FROM t", "FROM twin")) == now, f"{sql}: not whole"
            for sql in WRITES[1:]:
                assert outcome(connection, sql) is None, f"{sql}: after the store is back"
    return run


def cases():
    return [
        ("discovery", case_discovery),
        ("status_500_some", faulty("500", 3, True)),
        ("status_503_some", faulty("503", 3, True)),
        ("status_500_all", faulty("500", 1, False)),
        ("status_403_all", faulty("403", 1, False, ("42501", "58030"))),
        ("reset_some", faulty("reset", 4, None)),
        ("truncate_some", faulty("truncate", 4, None)),
        ("truncate_all", faulty("truncate", 1, False)),
        ("delay_some", faulty("delay", 2, True)),
        ("down_at_start", down_at_start),
        ("house", case_house),
        ("house_500_data", faulty_house("500", ".parquet")),
        ("house_500_log", faulty_house("500", "_delta_log")),
        ("house_reset_data", faulty_house("reset", ".parquet")),
        ("house_reset_log", faulty_house("reset", "_delta_log")),
        ("house_slow", slow_house),
        ("house_lost_data", lost_house(".parquet", 1)),
        ("house_lost_log", lost_house("_delta_log", 1)),
        ("house_lost_log_some", lost_house("_delta_log", 3)),
    ]

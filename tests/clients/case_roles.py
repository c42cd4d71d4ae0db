"""Roles and privileges as psql sees them, and what a scanner says of the TLS."""
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import fixtures
import psql
from programs import HERE, need

TLS = HERE.parent / "data" / "tls"
PASSWORD = "correct horse"
SCAN_LIMIT = 200  # seconds


def role(context, warehouse, *arguments, secret=""):
    done = subprocess.run([str(context.binary), "role", *arguments, "--warehouse", str(warehouse)],
                          input=secret, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@contextmanager
def closed(context, name):
    """A server with TLS, the superuser `admin`, and `ana` who may read nothing."""
    with tempfile.TemporaryDirectory(dir=context.work) as folder:
        folder = Path(folder)
        key = folder / "server.key"
        shutil.copyfile(TLS / "server.key", key)
        key.chmod(0o600)
        warehouse = folder / "warehouse"
        role(context, warehouse, "create", "admin", "--superuser", "--password-stdin", secret=PASSWORD + "\n")
        role(context, warehouse, "create", "ana", "--password-stdin", secret="a\n")
        options = ["--warehouse", warehouse, "--tls-cert", TLS / "server.pem", "--tls-key", key]
        server = context.start([fixtures.shop(context.work)], name, options=list(map(str, options)))
        try:
            yield server
        finally:
            server.stop()


def where(server, **more):
    settings = {"host": "localhost", "hostaddr": server.host, "port": server.port, "dbname": "loyalhouse",
                "user": "admin", "password": PASSWORD, "sslmode": "verify-full",
                "sslrootcert": TLS / "authority.pem", **more}
    return " ".join(f"{name}='{value}'" for name, value in settings.items())


def run_psql(server, sql, **more):
    program = shutil.which("psql")
    if program is None:
        raise FileNotFoundError(2, "no such client", "psql")
    return subprocess.run([program, "-X", "-A", "-t", "-c", sql, where(server, **more)], capture_output=True,
                          text=True, timeout=60, env=psql.environment(), stdin=subprocess.DEVNULL)


def case_psql(context):
    with closed(context, "roles_psql") as server:
        done = run_psql(server, "GRANT SELECT ON customers TO ana")
        assert done.stdout.strip() == "GRANT", done.stderr
        done = run_psql(server, r"\du")
        assert "admin|Superuser" in done.stdout and "ana|" in done.stdout, done.stdout + done.stderr
        done = run_psql(server, r"\dp customers")
        assert "ana=r/loyalhouse" in done.stdout, done.stdout + done.stderr
        mine = {"user": "ana", "password": "a"}
        assert run_psql(server, "SELECT count(*) > 0 FROM customers", **mine).stdout.strip() == "t"
        done = run_psql(server, "SELECT count(*) FROM orders", **mine)
        assert "permission denied for table orders" in done.stderr, done.stderr
        done = run_psql(server, r"\copy orders TO STDOUT", **mine)
        assert "permission denied for table orders" in done.stderr, done.stderr


def case_sslyze(context):
    """Mozilla's intermediate profile, but for the certificate, which is of these tests alone."""
    program = need(Path(sys.executable).parent / "sslyze")
    with closed(context, "roles_sslyze") as server:
        report = context.work / "sslyze.json"
        subprocess.run([str(program), "--starttls=postgres", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2",
                        "--tlsv1_3", "--heartbleed", "--openssl_ccs", "--robot", "--reneg", "--compression",
                        "--fallback", f"--json_out={report}", f"{server.host}:{server.port}"],
                       capture_output=True, timeout=SCAN_LIMIT, check=False)
        results = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
        for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
            accepted = results[f"{old}_cipher_suites"]["result"]["accepted_cipher_suites"]
            assert not accepted, f"{old}: {accepted}"
        for new in ("tls_1_2", "tls_1_3"):
            accepted = results[f"{new}_cipher_suites"]["result"]["accepted_cipher_suites"]
            names = [suite["cipher_suite"]["name"] for suite in accepted]
            weak = [name for name in names if not any(word in name for word in ("GCM", "POLY1305"))]
            assert names and not weak, f"{new}: {names}"
        assert not results["heartbleed"]["result"]["is_vulnerable_to_heartbleed"]
        assert not results["openssl_ccs_injection"]["result"]["is_vulnerable_to_ccs_injection"]
        assert not results["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"]
        assert not results["tls_compression"]["result"]["supports_compression"]


case_sslyze.limit = SCAN_LIMIT + 60

//! The door: who gets in, over what, and what must not work. Tests are named by the property.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tempfile::TempDir;

use super::client;
use super::fixtures;
use super::login::{Login, Proof, Steps, certificate, ssl_request, tls_file};
use super::process::Server;

const SECRET: Proof<'_> = Proof::Password("open sesame");

/// The verifier of `pencil` with one round, so that a thousand logins take a moment.
const QUICK_PASSWORD: &str = "pencil";

/// A warehouse with the superuser `admin` (password `open sesame`), and a certificate with its key.
pub(crate) struct House {
    folder: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let house = Self {
            folder: TempDir::new().unwrap(),
        };
        house.install("server");
        let made = house.role(
            &["create", "admin", "--superuser", "--password-stdin"],
            "open sesame\n",
        );
        assert!(made.status.success(), "{made:?}");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn warehouse(&self) -> String {
        self.path("warehouse").display().to_string()
    }

    /// Makes a certificate the one that is served. A checkout gives no file a mode of its own.
    fn install(&self, name: &str) {
        for (from, to) in [("pem", "cert.pem"), ("key", "key.pem")] {
            fs::copy(tls_file(&format!("{name}.{from}")), self.path(to)).unwrap();
            fs::set_permissions(self.path(to), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn role(&self, arguments: &[&str], input: &str) -> Output {
        run(
            &[&["role"], arguments, &["--warehouse", &self.warehouse()]].concat(),
            input,
        )
    }

    /// A server with roles and TLS.
    pub(crate) fn serve(&self) -> Server {
        self.serve_on(&fixtures::data(), &[])
    }

    pub(crate) fn serve_on(&self, data: &Path, flags: &[&str]) -> Server {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let warehouse = self.warehouse();
        let own = [
            "--warehouse",
            &warehouse,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ];
        Server::start(data, &[&own, flags].concat())
    }
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_loyalhouse"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _unread = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().unwrap()
}

/// Runs `serve` that must fail, and gives the first line it says.
fn refused(arguments: &[&str]) -> String {
    let data = fixtures::data().display().to_string();
    let started = Instant::now();
    let output = run(&[&["serve"], arguments, &[data.as_str()]].concat(), "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().next().unwrap_or_default().to_owned()
}

/// The third field of a verifier: the stored key.
fn stored_key(verifier: &str) -> [u8; 32] {
    let key = verifier
        .rsplit('$')
        .next()
        .unwrap()
        .split(':')
        .next()
        .unwrap();
    BASE64.decode(key).unwrap().try_into().unwrap()
}

#[test]
fn the_right_password_lets_in_and_the_stored_verifier_lets_nobody() {
    let house = House::new();
    let server = house.serve();
    for mut login in [Login::plain(server.port), Login::tls(server.port)] {
        let outcome = login.log_in("admin", SECRET);
        assert!(outcome.refusal.is_none(), "{outcome:?}");
        assert!(outcome.tags.ends_with('Z'), "{outcome:?}");
    }
    let file = rusqlite::Connection::open(house.path("warehouse/catalog.db")).unwrap();
    let query = "SELECT verifier FROM roles WHERE name = 'admin'";
    let verifier: String = file.query_row(query, [], |row| row.get(0)).unwrap();
    assert!(verifier.starts_with("SCRAM-SHA-256$4096:"), "{verifier}");
    for proof in [
        Proof::Password(&verifier),
        Proof::Stolen(stored_key(&verifier)),
    ] {
        let outcome = Login::tls(server.port).log_in("admin", proof);
        assert_eq!(outcome.refusal.unwrap().code, "28P01");
        assert!(!outcome.tags.contains('Z'));
    }
    for entry in fs::read_dir(house.path("warehouse")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(11).any(|window| window == b"open sesame");
            assert!(!found, "the password stands in {}", path.display());
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_verifier_of_postgresql_is_imported_as_it_is() {
    let house = House::new();
    // RFC 7677's example: the password is "pencil".
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let made = house.role(
        &["create", "pen", "--password-stdin"],
        &format!("{verifier}\n"),
    );
    assert!(made.status.success(), "{made:?}");
    let server = house.serve();
    let outcome = Login::tls(server.port).log_in("pen", Proof::Password("pencil"));
    assert!(outcome.refusal.is_none(), "{outcome:?}");
}

#[test]
fn a_downgrade_is_refused() {
    let house = House::new();
    let server = house.serve();
    // Able to bind, told that the server is not: somebody took PLUS out of the list.
    let mut login = Login::tls(server.port);
    login.startup("admin");
    assert_eq!(login.message().unwrap().tag, b'R');
    login.send_first("SCRAM-SHA-256", "y,,n=,r=abcdefgh");
    let refusal = login.rest(&mut String::new()).unwrap();
    assert_eq!(refusal.code, "28000", "{refusal}");
    // Bound to another certificate: somebody stands between.
    let mut login = Login::tls(server.port);
    let mut foreign = login.endpoint().unwrap().to_vec();
    foreign[0] ^= 1;
    login.startup("admin");
    let offered = String::from_utf8_lossy(&login.message().unwrap().body[4..]).into_owned();
    let mut steps = Steps::new(Some(foreign));
    let (mechanism, first) = steps.first(&offered);
    login.send_first(mechanism, &first);
    let challenge = login.message().unwrap();
    let last = steps.last(std::str::from_utf8(&challenge.body[4..]).unwrap(), SECRET);
    login.send(b'p', last.as_bytes());
    let refusal = login.rest(&mut String::new()).unwrap();
    assert_eq!(refusal.code, "28000", "{refusal}");
}

#[test]
fn interleaved_logins_are_each_only_themselves() {
    const ROUNDS: usize = 1_000;
    let house = House::new();
    let verifier = loyalhouse::auth::scram::Verifier::of_password(
        QUICK_PASSWORD,
        b"salt of a test..".to_vec(),
        std::num::NonZeroU32::MIN,
    );
    for name in ["left", "right"] {
        let made = house.role(
            &["create", name, "--password-stdin"],
            &format!("{verifier}\n"),
        );
        assert!(made.status.success(), "{made:?}");
    }
    let server = house.serve();
    for round in 0..ROUNDS {
        let mut pair =
            ["left", "right"].map(|name| (name, Login::plain(server.port), Steps::new(None)));
        for (name, login, _) in &mut pair {
            login.startup(name);
        }
        for (_, login, steps) in &mut pair {
            let offered = login.message().unwrap();
            let (mechanism, first) = steps.first(&String::from_utf8_lossy(&offered.body[4..]));
            login.send_first(mechanism, &first);
        }
        if round % 2 == 1 {
            pair.reverse();
        }
        for (_, login, steps) in &mut pair {
            let challenge = login.message().unwrap();
            let text = std::str::from_utf8(&challenge.body[4..]).unwrap();
            let last = steps.last(text, Proof::Password(QUICK_PASSWORD));
            login.send(b'p', last.as_bytes());
        }
        for (name, login, _) in &mut pair {
            assert!(login.rest(&mut String::new()).is_none());
            login.send(b'Q', b"SELECT session_user::text\0");
            let mut row = None;
            while let Some(message) = login.message() {
                match message.tag {
                    b'D' => row = Some(client::cells(&message.body)),
                    b'Z' => break,
                    _ => {}
                }
            }
            assert_eq!(row.unwrap(), [Some((*name).to_owned())]);
        }
    }
}

#[test]
fn a_proof_is_worth_nothing_in_another_login() {
    let house = House::new();
    let server = house.serve();
    let mut first = Login::plain(server.port);
    let mut second = Login::plain(server.port);
    let mut last = Vec::new();
    for login in [&mut first, &mut second] {
        login.startup("admin");
        let offered = login.message().unwrap();
        let mut steps = Steps::new(None);
        let (mechanism, begin) = steps.first(&String::from_utf8_lossy(&offered.body[4..]));
        login.send_first(mechanism, &begin);
        let challenge = login.message().unwrap();
        let text = std::str::from_utf8(&challenge.body[4..]).unwrap();
        last.push(steps.last(text, SECRET));
    }
    second.send(b'p', last[0].as_bytes());
    assert!(second.rest(&mut String::new()).is_some());
}

#[test]
fn unknown_user_and_wrong_password_look_the_same() {
    let house = House::new();
    let made = house.role(&["create", "ana", "--password-stdin"], "xyz\n");
    assert!(made.status.success(), "{made:?}");
    let server = house.serve();
    let guess = |user: &str| Login::tls(server.port).log_in(user, Proof::Password("guess"));
    let (known, unknown) = (guess("ana"), guess("bob"));
    assert_eq!(known.tags, unknown.tags);
    assert_eq!(known.tags, "RRE");
    let (known, unknown) = (known.refusal.unwrap(), unknown.refusal.unwrap());
    assert_eq!(
        (known.code.as_str(), unknown.code.as_str()),
        ("28P01", "28P01")
    );
    assert_eq!(known.severity, "FATAL");
    assert_eq!(known.message.replace("ana", "bob"), unknown.message);
    assert_eq!(
        unknown.message,
        "password authentication failed for user \"bob\""
    );
    // The salt of a user who is not there stays the same, as that of one who is.
    let salt = |user: &str| {
        let mut login = Login::plain(server.port);
        login.startup(user);
        login.message().unwrap();
        login.send_first("SCRAM-SHA-256", "n,,n=,r=abcdefgh");
        let body = login.message().unwrap().body;
        let text = String::from_utf8(body[4..].to_vec()).unwrap();
        text.split(',')
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for user in ["ana", "bob"] {
        let parameters = salt(user);
        assert_eq!(parameters, salt(user));
        assert_eq!(parameters[1], "i=4096");
        assert_eq!(parameters[0].len(), "s=".len() + 24);
    }
}

#[test]
fn md5_cleartext_and_trust_are_never_offered() {
    let house = House::new();
    let server = house.serve();
    for (mut login, offered) in [
        (Login::plain(server.port), "SCRAM-SHA-256\0\0"),
        (
            Login::tls(server.port),
            "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
        ),
    ] {
        login.startup("admin");
        let message = login.message().unwrap();
        assert_eq!(message.body[..4], 10_i32.to_be_bytes());
        assert_eq!(String::from_utf8_lossy(&message.body[4..]), offered);
        // The password in clear, as older clients would send it.
        login.send(b'p', b"open sesame\0");
        assert!(login.rest(&mut String::new()).is_some());
    }
}

#[test]
fn nothing_runs_after_a_failed_or_aborted_login() {
    let house = House::new();
    let server = house.serve();
    let query = b"SELECT 1\0";
    let attacks: [&dyn Fn(&mut Login); 6] = [
        &|login| login.send(b'Q', query),
        &|login| {
            login.send_first("SCRAM-SHA-256", "n,,n=,r=abcdefgh");
            login.send(b'Q', query);
        },
        &|login| {
            login.send_first("SCRAM-SHA-256", "n,,n=,r=abcdefgh");
            login.send(b'p', b"c=biws,r=wrong,p=AAAA");
            login.send(b'Q', query);
        },
        &|login| {
            login.send_first("PLAIN", "admin");
            login.send(b'Q', query);
        },
        &|login| {
            login.send(b'S', b"");
            login.send(b'Q', query);
        },
        &|login| login.send(b'p', &vec![b'x'; 100_000]),
    ];
    for (number, attack) in attacks.iter().enumerate() {
        for mut login in [Login::plain(server.port), Login::tls(server.port)] {
            login.startup("admin");
            attack(&mut login);
            let mut tags = String::new();
            let refusal = login.rest(&mut tags);
            // A reset may swallow the words; an answer never comes.
            assert!(
                !tags.contains(['Z', 'T', 'D', 'K']),
                "attack {number}: {tags}"
            );
            assert!(refusal.is_none_or(|refusal| refusal.severity == "FATAL"));
        }
    }
    assert!(
        Login::plain(server.port)
            .log_in("admin", SECRET)
            .refusal
            .is_none()
    );
}

#[test]
fn bytes_behind_an_encryption_request_are_refused() {
    let house = House::new();
    let server = house.serve();
    let mut socket = client::open(server.port);
    let mut bytes = ssl_request().to_vec();
    bytes.extend_from_slice(b"\0\0\0\x08");
    socket.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    // The rest of the connection may be a reset.
    let _reset = socket.read_to_end(&mut answer);
    assert_ne!(answer.first(), Some(&b'S'));
    let text = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || text.contains("unencrypted data"),
        "{text}"
    );
}

#[test]
fn gssapi_is_declined_and_tls_follows() {
    let house = House::new();
    let server = house.serve();
    let mut socket = client::open(server.port);
    socket
        .write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30])
        .unwrap();
    let mut answer = [0];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    socket.write_all(&ssl_request()).unwrap();
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"S");
    let mut login = Login::encrypted(socket, &[]).unwrap();
    assert!(login.log_in("admin", SECRET).refusal.is_none());
}

#[test]
fn direct_tls_needs_the_protocols_name() {
    let house = House::new();
    let server = house.serve();
    let mut login = Login::encrypted(client::open(server.port), &[b"postgresql"]).unwrap();
    assert!(login.log_in("admin", SECRET).refusal.is_none());
    assert!(Login::encrypted(client::open(server.port), &[b"http/1.1"]).is_err());
    let mut nameless = Login::encrypted(client::open(server.port), &[]).unwrap();
    nameless.startup("admin");
    assert!(nameless.message().is_none());
}

#[test]
fn a_hangup_reloads_the_certificate_and_sessions_go_on() {
    let house = House::new();
    let server = house.serve();
    let mut before = Login::tls(server.port);
    assert!(before.log_in("admin", SECRET).refusal.is_none());
    house.install("other");
    server.signal("HUP");
    let fresh = loyalhouse_hash("other.pem");
    let deadline = Instant::now() + Duration::from_secs(20);
    while Login::tls(server.port).endpoint() != Some(&fresh) {
        assert!(
            Instant::now() < deadline,
            "the old certificate is still served"
        );
    }
    before.send(b'Q', b"SELECT 1\0");
    let mut tags = String::new();
    assert!(before.rest(&mut tags).is_none());
    assert!(tags.ends_with('Z'), "{tags}");
    // What cannot be read leaves the one in use.
    fs::write(house.path("cert.pem"), "garbage").unwrap();
    server.signal("HUP");
    assert!(
        Login::tls(server.port)
            .log_in("admin", SECRET)
            .refusal
            .is_none()
    );
}

fn loyalhouse_hash(name: &str) -> Vec<u8> {
    let certificate = certificate(name);
    let hash = ring::digest::digest(&ring::digest::SHA256, certificate.as_ref());
    hash.as_ref().to_vec()
}

#[test]
fn cancel_requests_work_over_tls() {
    let house = House::new();
    let server = house.serve();
    let mut login = Login::tls(server.port);
    login.startup("admin");
    let offered = login.message().unwrap();
    let mut steps = Steps::new(login.endpoint().map(<[u8]>::to_vec));
    let (mechanism, first) = steps.first(&String::from_utf8_lossy(&offered.body[4..]));
    login.send_first(mechanism, &first);
    let challenge = login.message().unwrap();
    let last = steps.last(std::str::from_utf8(&challenge.body[4..]).unwrap(), SECRET);
    login.send(b'p', last.as_bytes());
    let key = loop {
        let message = login.message().unwrap();
        if message.tag == b'K' {
            break message.body;
        }
    };
    assert_eq!(login.message().unwrap().tag, b'Z');
    login.send(b'Q', b"SELECT pg_sleep(600)\0");
    let mut packet = vec![0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];
    packet.extend_from_slice(&key);
    let mut tags = String::new();
    // The statement may not have begun when the first request comes.
    let refusal = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| login.rest(&mut tags));
        while !waiting.is_finished() {
            let mut other = Login::tls(server.port);
            other.wire.write_all(&packet).unwrap();
            other.wire.flush().unwrap();
            assert!(other.message().is_none());
        }
        waiting.join().unwrap()
    });
    assert_eq!(refusal.unwrap().code, "57014");
}

#[test]
fn wrong_files_stop_the_server_with_one_clear_line() {
    let house = House::new();
    let path = |name: &str| house.path(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let pair = |certificate: &str, key: &str| {
        refused(&[
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ])
    };
    let absent = path("absent.pem");
    assert!(pair(&absent, &key).contains("absent.pem"));
    assert!(pair(&certificate, &absent).contains("absent.pem"));
    assert!(pair(&key, &key).contains("certificate"));
    assert!(pair(&certificate, &certificate).contains("key"));
    let other = path("other.key");
    fs::copy(tls_file("other.key"), &other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(pair(&certificate, &other).contains("cannot be used"));
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(pair(&certificate, &other).contains("everybody"));
    assert!(refused(&["--listen", "127.0.0.1:0", "--tls-cert", &certificate]).contains("tls_key"));
}

#[test]
fn an_address_beyond_loopback_needs_roles_and_tls() {
    let house = House::new();
    let warehouse = house.warehouse();
    let (certificate, key) = (house.path("cert.pem"), house.path("key.pem"));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let tls = [
        "--tls-cert",
        certificate.as_str(),
        "--tls-key",
        key.as_str(),
    ];
    let everywhere = ["--listen", "0.0.0.0:0"];
    assert!(refused(&everywhere).contains("without roles and TLS"));
    assert!(refused(&[&everywhere[..], &tls].concat()).contains("without roles"));
    let roles = ["--warehouse", warehouse.as_str()];
    assert!(refused(&[&everywhere[..], &roles].concat()).contains("without TLS"));
}

#[test]
fn a_password_in_the_configuration_stops_the_server() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("loyalhouse.toml");
    fs::write(&file, "[users]\nadmin = \"tiger2000\"\n").unwrap();
    let data = fixtures::data().display().to_string();
    let output = run(
        &["--config", &file.display().to_string(), "serve", &data],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("role create") && !said.contains("tiger2000"),
        "{said}"
    );
}

#[test]
fn guesses_of_one_address_get_slow() {
    let house = House::new();
    let server = house.serve();
    let started = Instant::now();
    let guesses = 8;
    for _ in 0..guesses {
        let outcome = Login::plain(server.port).log_in("admin", Proof::Password("guess"));
        assert_eq!(outcome.refusal.unwrap().code, "28P01");
    }
    // Five are free, the others take a third of a second each.
    assert!(started.elapsed() >= Duration::from_millis(600));
    assert!(
        Login::plain(server.port)
            .log_in("admin", SECRET)
            .refusal
            .is_none()
    );
}

#[test]
fn roles_are_made_listed_and_dropped_by_command() {
    let house = House::new();
    let list = || {
        let output = house.role(&["list"], "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        list(),
        "admin\tsuperuser\nloyalhouse\tsuperuser, create role, create database, cannot log in\n"
    );
    let failing: [(&[&str], &str, &str); 5] = [
        (&["create", "admin", "--password-stdin"], "x\n", "42710"),
        (&["create", "ana", "--password-stdin"], "\n", "22023"),
        (&["create", "pg_ana", "--password-stdin"], "x\n", "42939"),
        (&["drop", "admin"], "", "2BP01"),
        (&["password", "nobody", "--password-stdin"], "x\n", "42704"),
    ];
    for (arguments, input, code) in failing {
        let output = house.role(arguments, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(code), "{arguments:?}: {said}");
    }
    assert!(
        house
            .role(&["create", "ana", "--password-stdin"], "x\n")
            .status
            .success()
    );
    assert!(list().contains("ana\n"));
    let server = house.serve();
    assert!(
        house
            .role(&["password", "ana", "--password-stdin"], "y\n")
            .status
            .success()
    );
    // The running server follows.
    let outcome = Login::plain(server.port).log_in("ana", Proof::Password("y"));
    assert!(outcome.refusal.is_none(), "{outcome:?}");
    assert!(house.role(&["drop", "ana"], "").status.success());
    assert!(!list().contains("ana"));
    let outcome = Login::plain(server.port).log_in("ana", Proof::Password("y"));
    assert_eq!(outcome.refusal.unwrap().code, "28P01");
}

#[test]
fn the_first_role_must_be_able_to_go_on() {
    let folder = TempDir::new().unwrap();
    let warehouse = folder.path().display().to_string();
    let create = [
        "role",
        "create",
        "ana",
        "--password-stdin",
        "--warehouse",
        &warehouse,
    ];
    let output = run(&create, "x\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("must be a superuser"), "{said}");
    assert!(Path::new(&warehouse).join("catalog.db").exists());
}

//! A full disk: every kind of write fails with 53100, what was there stays, and the next write works once
//! there is room. The warehouse lies on a small disk of its own, in a namespace of the server's alone.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::{Answer, Client, Report, report};
use super::fixtures;
use super::process::Server;

/// Size of the disk.
const DISK: &str = "24m";
/// Bytes that are left when it is nearly full: enough for a log, too few for rows.
const LEFT_BYTES: usize = 256 << 10;

/// A server on a small disk, if this machine lets us make one.
struct Small {
    server: Server,
    /// The disk as other processes reach it.
    disk: PathBuf,
}

impl Small {
    fn start(folder: &Path) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={DISK} tmpfs {}", folder.display());
        let may = Command::new("unshare")
            .args(["-rm", "sh", "-c", &mount])
            .output();
        if !may.is_ok_and(|done| done.status.success()) {
            return None;
        }
        let mut command = Command::new("unshare");
        let script = format!("{mount} && exec \"$0\" \"$@\"");
        command.args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_loyalhouse")]);
        let flags = ["--warehouse", &folder.to_string_lossy()];
        let server = Server::start_by(command, &fixtures::data(), &flags);
        let disk = format!("/proc/{}/root{}", server.id(), folder.display()).into();
        Some(Self { server, disk })
    }

    /// Leaves `bytes` of the disk.
    fn fill(&self, bytes: usize) {
        let mut filler = File::create(self.disk.join("filler")).unwrap();
        let block = vec![0; 4096];
        while filler.write_all(&block).is_ok() {}
        let full = filler.metadata().unwrap().len();
        filler.set_len(full.saturating_sub(bytes as u64)).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.disk.join("filler")).unwrap();
    }
}

/// Rows that take more than what is left of the disk, however they are packed.
const ROWS: &str = "SELECT n AS id, md5(n::text) || md5((n + 1)::text) AS t FROM generate_series(1, 20000) AS s(n)";

fn run(client: &mut Client, sql: &str) -> Result<Answer, Report> {
    if !sql.starts_with("COPY") {
        return client.simple(sql);
    }
    client.send(b'Q', format!("{sql}\0").as_bytes());
    for n in 0..20_000_u64 {
        let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        client.send(
            b'd',
            format!("{n}\t{noise:x}{:x}\n", noise.rotate_left(17) ^ n).as_bytes(),
        );
    }
    client.send(b'c', b"");
    let messages = client.until_ready();
    match messages.iter().find(|message| message.tag == b'E') {
        Some(error) => Err(report(error)),
        None => Ok(Answer::default()),
    }
}

#[test]
fn a_full_disk_fails_writes_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::start(folder.path()) else {
        eprintln!("passed over: this machine makes no small disk");
        return;
    };
    let mut client = Client::connect(small.server.port);
    client.simple(&format!("CREATE TABLE t AS {ROWS}")).unwrap();
    client.simple("INSERT INTO t VALUES (0, 'first')").unwrap();
    client.simple("CREATE VIEW seen AS SELECT 1 AS n").unwrap();
    let writes = [
        format!("CREATE TABLE made AS {ROWS}"),
        format!("CREATE OR REPLACE TABLE t AS {ROWS}"),
        format!("INSERT INTO t {ROWS}"),
        "UPDATE t SET t = md5(t) || md5(id::text)".to_owned(),
        "DELETE FROM t WHERE id % 2 = 0".to_owned(),
        format!(
            "MERGE INTO t USING ({ROWS}) s ON t.id = s.id + 1 WHEN MATCHED THEN UPDATE SET t = s.t
                 WHEN NOT MATCHED THEN INSERT (id, t) VALUES (s.id, s.t)"
        ),
        "COPY t FROM STDIN".to_owned(),
        "OPTIMIZE t".to_owned(),
        "BEGIN; INSERT INTO t VALUES (-1, 'x'); CREATE TABLE made (id int); COMMIT".to_owned(),
    ];
    let state = "SELECT count(*), sum(id), min(t), max(t), sum(length(t)) FROM t";
    for left in [0, LEFT_BYTES] {
        for (at, sql) in writes.iter().enumerate() {
            if left > 0 && at == writes.len() - 1 {
                // There is room for that.
                continue;
            }
            let before = client.simple(state).unwrap().rows;
            small.fill(left);
            let failed = run(&mut client, sql).err();
            let code = failed.as_ref().map(|error| error.code.as_str());
            assert_eq!(code, Some("53100"), "{left} bytes left: {sql}: {failed:?}");
            client.simple("ROLLBACK").unwrap();
            assert_eq!(client.simple(state).unwrap().rows, before, "{sql}");
            assert_eq!(client.simple("SELECT n FROM seen").unwrap().rows.len(), 1);
            small.make_room();
        }
    }
    for sql in &writes {
        run(&mut client, sql).unwrap_or_else(|error| panic!("with room: {sql}: {error}"));
        let drop_made = "DROP TABLE IF EXISTS made; SET loyalhouse.vacuum_retention = 0";
        client.simple(drop_made).unwrap();
        client.simple("VACUUM t").unwrap();
    }
}

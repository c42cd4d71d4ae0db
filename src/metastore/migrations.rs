//! The tables of the catalog file, as steps that are run once each and never changed.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::catalog_error;
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// The steps in order; `user_version` counts those that were run.
const STEPS: &[&str] = &[ROLES, RELATIONS, FOLDERS, SEQUENCES, JOBS, PLACE];

/// Roles, who belongs to whom, and what they may do. Role 10 owns every object, as in PostgreSQL's
/// numbering; until somebody gives it a login it is nobody's.
///
/// Objects of privileges are named, not numbered: tables that are read in place come and go with
/// their files, and a grant waits for its table. `grantee` is NULL for PUBLIC. An object without a row in
/// `acl_objects` has the privileges that are the default now; with one, exactly those in `grants`.
const ROLES: &str = "
CREATE TABLE roles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    superuser INTEGER NOT NULL DEFAULT 0,
    inherit INTEGER NOT NULL DEFAULT 1,
    create_role INTEGER NOT NULL DEFAULT 0,
    create_database INTEGER NOT NULL DEFAULT 0,
    login INTEGER NOT NULL DEFAULT 0,
    replication INTEGER NOT NULL DEFAULT 0,
    bypass_rls INTEGER NOT NULL DEFAULT 0,
    connections_max INTEGER NOT NULL DEFAULT -1,
    verifier TEXT,
    valid_until_us INTEGER
) STRICT;
INSERT INTO roles (id, name, superuser, create_role, create_database, bypass_rls)
    VALUES (10, 'loyalhouse', 1, 1, 1, 1);
UPDATE sqlite_sequence SET seq = 16383 WHERE name = 'roles';
CREATE TABLE role_members (
    role INTEGER NOT NULL REFERENCES roles ON DELETE CASCADE,
    member INTEGER NOT NULL REFERENCES roles ON DELETE CASCADE,
    grantor INTEGER NOT NULL REFERENCES roles ON DELETE RESTRICT,
    admin_option INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (role, member)
) STRICT;
CREATE TABLE acl_objects (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('database', 'schema', 'table')),
    schema TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (kind, schema, name)
) STRICT;
CREATE TABLE grants (
    object INTEGER NOT NULL REFERENCES acl_objects ON DELETE CASCADE,
    grantee INTEGER REFERENCES roles ON DELETE RESTRICT,
    grantor INTEGER NOT NULL REFERENCES roles ON DELETE RESTRICT,
    privilege TEXT NOT NULL,
    grantable INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX grants_once
    ON grants (object, ifnull(grantee, 0), grantor, privilege);
CREATE TABLE default_grants (
    schema TEXT NOT NULL,
    grantee INTEGER REFERENCES roles ON DELETE RESTRICT,
    privilege TEXT NOT NULL,
    grantable INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX default_grants_once
    ON default_grants (schema, ifnull(grantee, 0), privilege);
";

/// Names of what is kept in the warehouse folder. A table keeps its `id`, which is also the name of its
/// folder, when it is renamed. The folders of `dropped_tables` are to be removed once nobody reads them.
const RELATIONS: &str = "
CREATE TABLE schemas (
    name TEXT PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES roles ON DELETE RESTRICT,
    comment TEXT
) STRICT;
CREATE TABLE relations (
    id TEXT PRIMARY KEY,
    schema TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'view')),
    owner INTEGER NOT NULL REFERENCES roles ON DELETE RESTRICT,
    definition TEXT,
    search_path TEXT NOT NULL DEFAULT '[]',
    columns BLOB,
    notes TEXT NOT NULL DEFAULT '{}',
    UNIQUE (schema, name)
) STRICT;
CREATE TABLE dropped_tables (
    id TEXT PRIMARY KEY
) STRICT;
";

/// Folders of dropped tables are found by their names: those that no relation has.
const FOLDERS: &str = "DROP TABLE dropped_tables;";

/// Where the next block of numbers of a sequence begins; nothing if it has come to its end.
const SEQUENCES: &str = "
CREATE TABLE sequence_numbers (
    id TEXT PRIMARY KEY,
    next INTEGER
) STRICT;
";

/// Materialized views beside tables and views; commands that run by themselves and their history. Times are
/// microseconds since 1970-01-01 UTC. `next_us` and the columns behind it are where a job stands.
const JOBS: &str = "
CREATE TABLE relations_3 (
    id TEXT PRIMARY KEY,
    schema TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'view', 'materialized view')),
    owner INTEGER NOT NULL REFERENCES roles ON DELETE RESTRICT,
    definition TEXT,
    search_path TEXT NOT NULL DEFAULT '[]',
    columns BLOB,
    notes TEXT NOT NULL DEFAULT '{}',
    populated INTEGER NOT NULL DEFAULT 1,
    UNIQUE (schema, name)
) STRICT;
INSERT INTO relations_3 (id, schema, name, kind, owner, definition, search_path, columns, notes)
    SELECT id, schema, name, kind, owner, definition, search_path, columns, notes FROM relations;
DROP TABLE relations;
ALTER TABLE relations_3 RENAME TO relations;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT,
    relation TEXT UNIQUE,
    username TEXT NOT NULL,
    database TEXT NOT NULL,
    command TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 1,
    options TEXT NOT NULL DEFAULT '{}',
    sort TEXT NOT NULL,
    next_us INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    succeeded_us INTEGER,
    firing_us INTEGER,
    UNIQUE (sort, name, username)
) STRICT;
CREATE TABLE posts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL,
    secret TEXT,
    body TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    next_us INTEGER NOT NULL
) STRICT;
CREATE TABLE job_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL,
    relation TEXT,
    command TEXT NOT NULL,
    database TEXT NOT NULL,
    username TEXT NOT NULL,
    pid INTEGER,
    status TEXT NOT NULL,
    trigger TEXT NOT NULL,
    scheduled_us INTEGER NOT NULL,
    started_us INTEGER,
    ended_us INTEGER,
    attempt INTEGER NOT NULL DEFAULT 0,
    message TEXT,
    rows INTEGER,
    version INTEGER,
    sort TEXT NOT NULL
) STRICT;
CREATE INDEX job_runs_by_job ON job_runs (job, id);
CREATE INDEX job_runs_open ON job_runs (status) WHERE status IN ('starting', 'running');
";

/// The number of this catalog, and the object store that its tables lie in; empty for the warehouse folder.
const PLACE: &str = "
CREATE TABLE warehouse (
    id TEXT NOT NULL,
    table_store TEXT
) STRICT;
INSERT INTO warehouse (id) VALUES (lower(hex(randomblob(16))));
";

/// Runs the steps that this catalog has not seen.
pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<()> {
    let failed = |error| catalog_error(path, error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let done: u32 = transaction
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    let Some(missing) = STEPS.get(done as usize..) else {
        return Err(Error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("the catalog {} was made by a newer version", path.display()),
        )
        .with_hint("Use the version of loyalhouse that wrote it, or a later one."));
    };
    for step in missing {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", STEPS.len() as u32)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

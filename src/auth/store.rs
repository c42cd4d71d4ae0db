//! Roles and grants in the catalog file.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::book::{Book, DefaultGrant, Membership, Role};
use super::privilege::{Grant, Object, Privilege};
use super::scram::Verifier;
use crate::error::{Error, Result};
use crate::metastore::Metastore;

/// Reads everything.
pub(super) fn load(store: &Metastore, transaction: &Transaction<'_>) -> Result<Book> {
    read(transaction).map_err(|error| store.failed(error))
}

fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Book> {
    let mut book = Book::default();
    let mut query = transaction.prepare(
        "SELECT name, superuser, inherit, create_role, create_database, login, replication, \
         bypass_rls, connections_max, verifier, valid_until_us FROM roles",
    )?;
    for role in query.query_map([], role)? {
        let role = role?;
        book.roles.insert(role.name.clone(), role);
    }
    let mut query = transaction.prepare(
        "SELECT member.name, role.name, grantor.name, admin_option FROM role_members \
         JOIN roles member ON member.id = member JOIN roles role ON role.id = role \
         JOIN roles grantor ON grantor.id = grantor ORDER BY 2",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let member: String = row.get(0)?;
        if let Some(role) = book.roles.get_mut(&member) {
            role.member_of.push(Membership {
                role: row.get(1)?,
                grantor: row.get(2)?,
                admin: row.get(3)?,
            });
        }
    }
    read_grants(transaction, &mut book)?;
    read_defaults(transaction, &mut book)?;
    Ok(book)
}

fn role(row: &Row<'_>) -> rusqlite::Result<Role> {
    let verifier: Option<String> = row.get(9)?;
    Ok(Role {
        name: row.get(0)?,
        superuser: row.get(1)?,
        inherit: row.get(2)?,
        create_role: row.get(3)?,
        create_database: row.get(4)?,
        login: row.get(5)?,
        replication: row.get(6)?,
        bypass_rls: row.get(7)?,
        connections_max: row.get(8)?,
        verifier: verifier.as_deref().and_then(Verifier::parse),
        valid_until_us: row.get(10)?,
        member_of: Vec::new(),
    })
}

fn read_grants(transaction: &Transaction<'_>, book: &mut Book) -> rusqlite::Result<()> {
    let mut query = transaction.prepare(
        "SELECT kind, schema, acl_objects.name, grantee.name, grantor.name, privilege, grantable \
         FROM acl_objects LEFT JOIN grants ON object = acl_objects.id \
         LEFT JOIN roles grantee ON grantee.id = grantee \
         LEFT JOIN roles grantor ON grantor.id = grantor ORDER BY grants.rowid",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let kind: String = row.get(0)?;
        let (schema, name): (String, String) = (row.get(1)?, row.get(2)?);
        let object = match kind.as_str() {
            "database" => Object::Database,
            "schema" => Object::Schema(name),
            _ => Object::Table { schema, name },
        };
        let grants = book.grants.entry(object).or_default();
        let privilege: Option<String> = row.get(5)?;
        if let Some(privilege) = privilege.as_deref().and_then(Privilege::named) {
            grants.push(Grant {
                grantee: row.get(3)?,
                grantor: row.get(4)?,
                privilege,
                grantable: row.get(6)?,
            });
        }
    }
    Ok(())
}

fn read_defaults(transaction: &Transaction<'_>, book: &mut Book) -> rusqlite::Result<()> {
    let mut query = transaction.prepare(
        "SELECT schema, name, privilege, grantable FROM default_grants \
         LEFT JOIN roles ON id = grantee ORDER BY default_grants.rowid",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (schema, privilege): (String, String) = (row.get(0)?, row.get(2)?);
        if let Some(privilege) = Privilege::named(&privilege) {
            book.defaults.push(DefaultGrant {
                schema: Some(schema).filter(|schema| !schema.is_empty()),
                grantee: row.get(1)?,
                privilege,
                grantable: row.get(3)?,
            });
        }
    }
    Ok(())
}

/// Writes a role's attributes; the role is made if it is not there.
pub(super) fn put_role(transaction: &Transaction<'_>, role: &Role) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO roles (name, superuser, inherit, create_role, create_database, login, \
         replication, bypass_rls, connections_max, verifier, valid_until_us) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT (name) DO UPDATE SET superuser = ?2, inherit = ?3, create_role = ?4, \
         create_database = ?5, login = ?6, replication = ?7, bypass_rls = ?8, \
         connections_max = ?9, verifier = ?10, valid_until_us = ?11",
        params![
            role.name,
            role.superuser,
            role.inherit,
            role.create_role,
            role.create_database,
            role.login,
            role.replication,
            role.bypass_rls,
            role.connections_max,
            role.verifier.as_ref().map(ToString::to_string),
            role.valid_until_us,
        ],
    )?;
    Ok(())
}

/// Gives a role another name.
pub(super) fn rename_role(
    transaction: &Transaction<'_>,
    from: &str,
    to: &str,
) -> rusqlite::Result<()> {
    transaction.execute("UPDATE roles SET name = ?2 WHERE name = ?1", [from, to])?;
    Ok(())
}

/// Removes a role and its memberships; grants that name it must be gone.
pub(super) fn delete_role(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    // Memberships that it granted stay, as granted by the owner.
    transaction.execute(
        "UPDATE role_members SET grantor = 10 \
         WHERE grantor = (SELECT id FROM roles WHERE name = ?1)",
        [name],
    )?;
    transaction.execute("DELETE FROM roles WHERE name = ?1", [name])?;
    Ok(())
}

/// Makes `member` a member of `role`, or changes its admin option.
pub(super) fn put_member(
    transaction: &Transaction<'_>,
    role: &str,
    member: &str,
    grantor: &str,
    admin: bool,
) -> Result<(), Failure> {
    transaction.execute(
        "INSERT INTO role_members (role, member, grantor, admin_option) \
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT (role, member) DO UPDATE SET admin_option = ?4",
        params![
            role_id(transaction, role)?,
            role_id(transaction, member)?,
            role_id(transaction, grantor)?,
            admin
        ],
    )?;
    Ok(())
}

/// Ends a membership.
pub(super) fn delete_member(
    transaction: &Transaction<'_>,
    role: &str,
    member: &str,
) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM role_members WHERE role = (SELECT id FROM roles WHERE name = ?1) \
         AND member = (SELECT id FROM roles WHERE name = ?2)",
        [role, member],
    )?;
    Ok(())
}

/// Makes `grants` those of an object, in place of its former or default ones.
pub(super) fn put_grants(
    transaction: &Transaction<'_>,
    object: &Object,
    grants: &[Grant],
) -> Result<(), Failure> {
    let (schema, name) = object.key();
    let key = params![object.kind().word(), schema, name];
    transaction.execute(
        "INSERT INTO acl_objects (kind, schema, name) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        key,
    )?;
    let id: i64 = transaction.query_row(
        "SELECT id FROM acl_objects WHERE kind = ?1 AND schema = ?2 AND name = ?3",
        key,
        |row| row.get(0),
    )?;
    transaction.execute("DELETE FROM grants WHERE object = ?1", [id])?;
    for grant in grants {
        let grantee = match &grant.grantee {
            Some(name) => Some(role_id(transaction, name)?),
            None => None,
        };
        transaction.execute(
            "INSERT INTO grants (object, grantee, grantor, privilege, grantable) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                id,
                grantee,
                role_id(transaction, &grant.grantor)?,
                grant.privilege.name(),
                grant.grantable
            ],
        )?;
    }
    Ok(())
}

/// Makes `defaults` the default grants.
pub(super) fn put_defaults(
    transaction: &Transaction<'_>,
    defaults: &[DefaultGrant],
) -> Result<(), Failure> {
    transaction.execute("DELETE FROM default_grants", [])?;
    for default in defaults {
        let grantee = match &default.grantee {
            Some(name) => Some(role_id(transaction, name)?),
            None => None,
        };
        transaction.execute(
            "INSERT INTO default_grants (schema, grantee, privilege, grantable) \
             VALUES (?1, ?2, ?3, ?4)",
            params![
                default.schema.as_deref().unwrap_or_default(),
                grantee,
                default.privilege.name(),
                default.grantable
            ],
        )?;
    }
    Ok(())
}

/// The number of a role that must be there.
fn role_id(transaction: &Transaction<'_>, name: &str) -> Result<i64, Failure> {
    transaction
        .query_row("SELECT id FROM roles WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()?
        .ok_or_else(|| {
            Failure::Statement(Error::undefined_object(format!(
                "role \"{name}\" does not exist"
            )))
        })
}

/// Why a change was not made: the file failed, or the statement is wrong.
#[derive(Debug)]
pub(super) enum Failure {
    File(rusqlite::Error),
    Statement(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

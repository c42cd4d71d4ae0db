//! Roles, their memberships, and the one database.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::facts::{RoleRow, Securable, ServerFacts};
use super::oid::{self, OidAssigner};
use super::relation_table::{Producer, Scope};

/// Encoding UTF8 in PostgreSQL's numbering.
pub(crate) const UTF8: i32 = 6;

pub(crate) fn producer(name: &str) -> Option<Producer> {
    Some(match name {
        "pg_auth_members" => pg_auth_members,
        "pg_authid" => pg_authid,
        "pg_database" => pg_database,
        "pg_group" => pg_group,
        "pg_roles" => pg_roles,
        "pg_shadow" => pg_shadow,
        "pg_user" => pg_user,
        _ => return None,
    })
}

/// All roles with their OIDs, the owner first.
pub(crate) fn roles(facts: &dyn ServerFacts) -> Vec<(u32, RoleRow)> {
    let owner = facts.owner();
    let mut roles = facts.roles();
    if !roles.iter().any(|role| role.name == owner) {
        roles.push(owner_role(&owner));
    }
    roles.sort_by(|a, b| (a.name != owner, &a.name).cmp(&(b.name != owner, &b.name)));
    let mut oids = OidAssigner::default();
    let numbered = roles.into_iter().map(|role| {
        let oid = if role.name == owner {
            oid::OWNER
        } else {
            oids.assign("role", &role.name)
        };
        (oid, role)
    });
    numbered.collect()
}

/// The OID of a database.
pub(crate) fn database_oid(name: &str) -> u32 {
    OidAssigner::default().assign("database", name)
}

fn owner_role(name: &str) -> RoleRow {
    RoleRow {
        name: name.to_owned(),
        superuser: true,
        login: true,
        create_role: true,
        create_database: true,
        inherit: true,
        bypass_rls: true,
        replication: true,
        connections_max: -1,
        valid_until_us: None,
        member_of: Vec::new(),
    }
}

fn pg_roles(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (oid, role) in roles(scope.facts) {
        row!(
            rows,
            rolname: role.name,
            rolsuper: role.superuser,
            rolinherit: role.inherit,
            rolcreaterole: role.create_role,
            rolcreatedb: role.create_database,
            rolcanlogin: role.login,
            rolreplication: role.replication,
            rolconnlimit: role.connections_max,
            rolpassword: "********",
            rolvaliduntil: instant(role.valid_until_us),
            rolbypassrls: role.bypass_rls,
            oid: oid,
        )?;
    }
    Ok(())
}

fn pg_authid(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (oid, role) in roles(scope.facts) {
        row!(
            rows,
            oid: oid,
            rolname: role.name,
            rolsuper: role.superuser,
            rolinherit: role.inherit,
            rolcreaterole: role.create_role,
            rolcreatedb: role.create_database,
            rolcanlogin: role.login,
            rolbypassrls: role.bypass_rls,
            rolconnlimit: role.connections_max,
            rolreplication: role.replication,
            rolvaliduntil: instant(role.valid_until_us),
        )?;
    }
    Ok(())
}

/// A time, or NULL for none; what never ends has none.
fn instant(micros: Option<i64>) -> Cell {
    micros
        .filter(|micros| *micros != i64::MAX)
        .map_or(Cell::Null, Cell::Timestamp)
}

fn pg_user(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    users(scope, rows, Cell::from("********"))
}

fn pg_shadow(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    users(scope, rows, Cell::Null)
}

fn users(scope: &Scope<'_>, rows: &mut Rows, password: Cell) -> Result<()> {
    for (oid, role) in roles(scope.facts)
        .into_iter()
        .filter(|(_, role)| role.login)
    {
        row!(
            rows,
            usename: role.name,
            usesysid: oid,
            usecreatedb: role.create_database,
            usesuper: role.superuser,
            userepl: role.replication,
            usebypassrls: role.bypass_rls,
            passwd: password.clone(),
            valuntil: instant(role.valid_until_us),
        )?;
    }
    Ok(())
}

fn pg_group(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles(scope.facts);
    for (oid, group) in roles.iter().filter(|(_, role)| !role.login) {
        let members = roles
            .iter()
            .filter(|(_, role)| role.member_of.iter().any(|to| to.role == group.name));
        let members: Vec<u32> = members.map(|(oid, _)| *oid).collect();
        row!(rows, groname: &group.name, grosysid: *oid, grolist: members)?;
    }
    Ok(())
}

fn pg_auth_members(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles(scope.facts);
    for (member, role) in &roles {
        for to in &role.member_of {
            let oid_of = |name: &str| {
                let found = roles.iter().find(|(_, role)| role.name == name);
                found.map(|(oid, _)| *oid)
            };
            if let Some(oid) = oid_of(&to.role) {
                row!(
                    rows,
                    roleid: oid,
                    member: *member,
                    grantor: oid_of(&to.grantor).unwrap_or(oid::OWNER),
                    admin_option: to.admin,
                )?;
            }
        }
    }
    Ok(())
}

fn pg_database(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let name = &scope.session.database;
    row!(
        rows,
        oid: database_oid(name),
        datacl: scope.facts.acl(Securable::Database),
        datname: name,
        datdba: oid::OWNER,
        encoding: UTF8,
        datlocprovider: 'c',
        datallowconn: true,
        datconnlimit: -1,
        dattablespace: 1663_u32,
        datcollate: "C",
        datctype: "C.UTF-8",
    )
}

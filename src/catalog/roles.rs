//! Roles, their memberships, and the one database.

use datafusion::error::Result;

use super::cells::{Cell, Rows, row};
use super::facts::{RoleRow, ServerFacts};
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
        connections_max: -1,
        member_of: Vec::new(),
    }
}

fn pg_roles(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    for (oid, role) in roles(scope.facts) {
        row!(
            rows,
            rolname: role.name,
            rolsuper: role.superuser,
            rolinherit: true,
            rolcreaterole: role.create_role,
            rolcreatedb: role.create_database,
            rolcanlogin: role.login,
            rolreplication: false,
            rolconnlimit: role.connections_max,
            rolpassword: "********",
            rolbypassrls: role.superuser,
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
            rolinherit: true,
            rolcreaterole: role.create_role,
            rolcreatedb: role.create_database,
            rolcanlogin: role.login,
            rolbypassrls: role.superuser,
            rolconnlimit: role.connections_max,
        )?;
    }
    Ok(())
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
            userepl: false,
            usebypassrls: role.superuser,
            passwd: password.clone(),
        )?;
    }
    Ok(())
}

fn pg_group(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles(scope.facts);
    for (oid, group) in roles.iter().filter(|(_, role)| !role.login) {
        let members = roles
            .iter()
            .filter(|(_, role)| role.member_of.contains(&group.name));
        let members: Vec<u32> = members.map(|(oid, _)| *oid).collect();
        row!(rows, groname: &group.name, grosysid: *oid, grolist: members)?;
    }
    Ok(())
}

fn pg_auth_members(scope: &Scope<'_>, rows: &mut Rows) -> Result<()> {
    let roles = roles(scope.facts);
    for (member, role) in &roles {
        for group in &role.member_of {
            if let Some((oid, _)) = roles.iter().find(|(_, role)| role.name == *group) {
                row!(rows, roleid: *oid, member: *member, grantor: oid::OWNER)?;
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

//! Changes of roles and privileges: what the statements ask for, whether the session may, and doing it.

mod grants;
mod roles;

use rusqlite::Transaction;

use super::book::{Authorization, Book};
use super::privilege::{Kind, Object, Privilege};
use super::scram::Verifier;
use super::store::{self, Failure};
use crate::error::{Error, Result};
use crate::metastore::Metastore;

/// What a statement asks to change.
#[derive(Debug, Clone)]
pub enum Change {
    /// CREATE ROLE, USER or GROUP.
    CreateRole {
        /// The new role.
        name: String,
        /// Its attributes.
        attributes: Attributes,
    },
    /// ALTER ROLE or USER.
    AlterRole {
        /// The role.
        name: RoleName,
        /// What changes.
        attributes: Attributes,
    },
    /// ALTER ROLE … RENAME TO.
    RenameRole {
        /// Its name now.
        from: String,
        /// Its new name.
        to: String,
    },
    /// DROP ROLE, USER or GROUP.
    DropRoles {
        /// The roles.
        names: Vec<RoleName>,
        /// Whether missing ones are passed over.
        if_exists: bool,
    },
    /// GRANT or REVOKE of memberships.
    Members {
        /// The roles given or taken.
        roles: Vec<String>,
        /// To or from whom.
        members: Vec<RoleName>,
        /// Given with the admin option, or only that option taken.
        admin: bool,
        /// Whether they are taken.
        revoke: bool,
    },
    /// GRANT or REVOKE of privileges.
    Privileges {
        /// Which, on what.
        request: PrivilegeRequest,
        /// The objects.
        target: Target,
    },
    /// ALTER DEFAULT PRIVILEGES.
    Defaults {
        /// The roles whose objects are meant; none for the current one.
        owners: Vec<RoleName>,
        /// The schemas; none for all.
        schemas: Vec<String>,
        /// Whether tables are meant; there are no objects of the other kinds.
        tables: bool,
        /// Which privileges.
        request: PrivilegeRequest,
    },
    /// DROP OWNED BY: takes away every privilege of the roles, who own nothing.
    DropOwned {
        /// The roles.
        roles: Vec<RoleName>,
    },
    /// REASSIGN OWNED BY: nothing to do for roles that own nothing.
    ReassignOwned {
        /// The roles.
        roles: Vec<RoleName>,
        /// Who would get their objects.
        to: RoleName,
    },
}

/// A role as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleName {
    /// By name.
    Named(String),
    /// CURRENT_USER or CURRENT_ROLE.
    Current,
    /// SESSION_USER.
    Session,
    /// PUBLIC, where everybody may be meant.
    Public,
}

/// Attributes of a role that a statement sets.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// SUPERUSER.
    pub superuser: Option<bool>,
    /// INHERIT.
    pub inherit: Option<bool>,
    /// CREATEROLE.
    pub create_role: Option<bool>,
    /// CREATEDB.
    pub create_database: Option<bool>,
    /// LOGIN.
    pub login: Option<bool>,
    /// REPLICATION.
    pub replication: Option<bool>,
    /// BYPASSRLS.
    pub bypass_rls: Option<bool>,
    /// CONNECTION LIMIT.
    pub connections_max: Option<i32>,
    /// PASSWORD; the inner `None` takes it away.
    pub password: Option<Option<Verifier>>,
    /// VALID UNTIL, in microseconds since 1970-01-01 UTC.
    pub valid_until_us: Option<i64>,
    /// IN ROLE: the roles it becomes a member of.
    pub member_of: Vec<String>,
    /// ROLE and ADMIN: the roles that become its members, and whether with the admin option.
    pub members: Vec<(String, bool)>,
}

/// Privileges that are given or taken.
#[derive(Debug, Clone)]
pub struct PrivilegeRequest {
    /// Which; none for ALL.
    pub privileges: Vec<Privilege>,
    /// To or from whom.
    pub grantees: Vec<RoleName>,
    /// Given with the grant option, or only that option taken.
    pub grant_option: bool,
    /// Whether they are taken.
    pub revoke: bool,
    /// Whether what depends on them is taken too.
    pub cascade: bool,
}

/// The objects of a GRANT.
#[derive(Debug, Clone)]
pub enum Target {
    /// Tables by name, each possibly with its schema.
    Tables(Vec<Vec<String>>),
    /// All tables of schemas.
    AllTables(Vec<String>),
    /// Schemas.
    Schemas(Vec<String>),
    /// Databases.
    Databases(Vec<String>),
    /// Objects of a kind that this server has none of, all of a schema: nothing to do.
    Nothing(Kind),
}

/// A change, and the role of SET ROLE when it was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The change.
    pub change: Change,
    /// The role.
    pub role: Option<String>,
}

/// Who makes changes, and what is there to grant on.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// The user who is logged in.
    pub user: &'a str,
    /// What there is.
    pub relations: &'a dyn Relations,
}

/// The schemas and tables of a server.
pub trait Relations: std::fmt::Debug {
    /// The tables of a schema; `None` if there is no such schema.
    fn tables(&self, schema: &str) -> Option<Vec<String>>;

    /// Every schema of users.
    fn schemas(&self) -> Vec<String>;

    /// The schemas that names without one are looked for in.
    fn search_path(&self) -> Vec<String>;
}

/// No tables, for changes of roles alone.
#[derive(Debug, Clone, Copy)]
pub struct NoRelations;

impl Relations for NoRelations {
    fn tables(&self, _: &str) -> Option<Vec<String>> {
        None
    }

    fn schemas(&self) -> Vec<String> {
        Vec::new()
    }

    fn search_path(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a change has to say.
#[derive(Debug)]
pub struct Done {
    /// The command tag.
    pub tag: &'static str,
    /// Warnings and notices.
    pub notices: Vec<Error>,
}

/// What a change works with.
struct Work<'a> {
    transaction: &'a Transaction<'a>,
    /// As the changes before this one left it.
    book: Book,
    session: Authorization,
    actor: &'a Actor<'a>,
    notices: Vec<Error>,
}

/// Makes the changes one after the other; the book is that after the last one.
pub(super) fn run(
    store: &Metastore,
    transaction: &Transaction<'_>,
    changes: &[Asked],
    actor: &Actor<'_>,
) -> Result<(Vec<Done>, Book)> {
    let mut done = Vec::with_capacity(changes.len());
    for Asked { change, role } in changes {
        let book = store::load(store, transaction)?;
        let session = book.authorize(actor.user, role.as_deref())?;
        let mut work = Work {
            transaction,
            book,
            session,
            actor,
            notices: Vec::new(),
        };
        let tag = work.make(change).map_err(|failure| match failure {
            Failure::File(error) => store.failed(error),
            Failure::Statement(error) => error,
        })?;
        let notices = work.notices;
        done.push(Done { tag, notices });
    }
    Ok((done, store::load(store, transaction)?))
}

impl Work<'_> {
    fn make(&mut self, change: &Change) -> Result<&'static str, Failure> {
        match change {
            Change::CreateRole { name, attributes } => self.create_role(name, attributes),
            Change::AlterRole { name, attributes } => self.alter_role(name, attributes),
            Change::RenameRole { from, to } => self.rename_role(from, to),
            Change::DropRoles { names, if_exists } => self.drop_roles(names, *if_exists),
            Change::Members {
                roles,
                members,
                admin,
                revoke,
            } => match revoke {
                false => self.grant_roles(roles, members, *admin),
                true => self.revoke_roles(roles, members, *admin),
            },
            Change::Privileges { request, target } => self.change_privileges(request, target),
            Change::Defaults {
                owners,
                schemas,
                tables: true,
                request,
            } => self.change_defaults(owners, schemas, request),
            Change::Defaults { owners, .. } => {
                self.role_names(owners)?;
                Ok("ALTER DEFAULT PRIVILEGES")
            }
            Change::DropOwned { roles } => self.drop_owned(roles),
            Change::ReassignOwned { roles, to } => self.reassign_owned(roles, to),
        }
    }

    /// The name of a role that must exist.
    fn role_name(&self, name: &RoleName) -> Result<String> {
        let name = match name {
            RoleName::Named(name) => name.as_str(),
            RoleName::Current => self.session.user.as_str(),
            RoleName::Session => self.actor.user,
            RoleName::Public => {
                return Err(Error::undefined_object("role \"public\" does not exist"));
            }
        };
        self.book.existing(name).map(|role| role.name.clone())
    }

    fn role_names(&self, names: &[RoleName]) -> Result<Vec<String>> {
        names.iter().map(|name| self.role_name(name)).collect()
    }

    /// The objects that a change by this session is about.
    fn objects(&self, target: &Target) -> Result<Vec<Object>> {
        let relations = self.actor.relations;
        match target {
            Target::Tables(names) => names.iter().map(|name| self.table(name)).collect(),
            Target::AllTables(schemas) => {
                let mut objects = Vec::new();
                for schema in schemas {
                    let tables = relations.tables(schema).ok_or_else(|| no_schema(schema))?;
                    objects.extend(tables.iter().map(|table| Object::table(schema, table)));
                }
                Ok(objects)
            }
            Target::Schemas(names) => names
                .iter()
                .map(|name| match relations.tables(name) {
                    Some(_) => Ok(Object::Schema(name.clone())),
                    None => Err(no_schema(name)),
                })
                .collect(),
            Target::Databases(names) => names
                .iter()
                .map(|name| match name == super::DATABASE {
                    true => Ok(Object::Database),
                    false => Err(Error::invalid_catalog_name(format!(
                        "database \"{name}\" does not exist"
                    ))),
                })
                .collect(),
            Target::Nothing(_) => Ok(Vec::new()),
        }
    }

    fn table(&self, name: &[String]) -> Result<Object> {
        let relations = self.actor.relations;
        let shown = name.join(".");
        let missing = || Error::undefined_table(format!("relation \"{shown}\" does not exist"));
        let (table, qualifiers) = name.split_last().ok_or_else(missing)?;
        let schemas = match qualifiers.last() {
            Some(schema) => vec![schema.clone()],
            None => relations.search_path(),
        };
        schemas
            .into_iter()
            .find(|schema| {
                let tables = relations.tables(schema);
                tables.is_some_and(|tables| tables.contains(table))
            })
            .map(|schema| Object::table(schema, table))
            .ok_or_else(missing)
    }
}

fn no_schema(name: &str) -> Error {
    Error::invalid_schema_name(format!("schema \"{name}\" does not exist"))
}

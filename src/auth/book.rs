//! Who there is and what they may do: the roles and grants of the catalog file in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::OWNER;
use super::privilege::{Grant, Object, Privilege};
use super::scram::Verifier;
use crate::error::{Error, Result};

/// One role.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub superuser: bool,
    /// Whether it has the privileges of the roles it belongs to without SET ROLE.
    pub inherit: bool,
    /// Whether it may make and change roles that are no superusers.
    pub create_role: bool,
    /// Whether it may make databases.
    pub create_database: bool,
    /// Whether it may connect.
    pub login: bool,
    /// Kept for PostgreSQL's tools; there is no replication here.
    pub replication: bool,
    /// Whether row-level policies pass it by.
    pub bypass_rls: bool,
    /// Sessions at the same time, -1 for no limit.
    pub connections_max: i32,
    /// What its password is checked against.
    pub verifier: Option<Verifier>,
    /// Until when the password counts, in microseconds since 1970-01-01 UTC.
    pub valid_until_us: Option<i64>,
    /// The roles it is a member of.
    pub member_of: Vec<Membership>,
}

/// A role's place in another.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The other role.
    pub role: String,
    /// Who put it there.
    pub grantor: String,
    /// Whether it may put others there.
    pub admin: bool,
}

/// A privilege that tables have which nobody granted or revoked anything on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultGrant {
    /// The schema of such tables; `None` for all.
    pub schema: Option<String>,
    /// Who has it; `None` is everybody.
    pub grantee: Option<String>,
    /// The privilege.
    pub privilege: Privilege,
    /// Whether the grantee may give it on.
    pub grantable: bool,
}

/// All roles and grants at one time.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) grants: BTreeMap<Object, Vec<Grant>>,
    pub(super) defaults: Vec<DefaultGrant>,
}

impl Book {
    /// Whether nobody has a login: then there is nothing that could let one in and keep others out.
    pub fn is_open(&self) -> bool {
        !self.roles.values().any(|role| role.login)
    }

    /// A role by name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// A role by name, or 42704.
    pub fn existing(&self, name: &str) -> Result<&Role> {
        self.role(name)
            .ok_or_else(|| Error::undefined_object(format!("role \"{name}\" does not exist")))
    }

    /// Every role, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// The default grants.
    pub fn defaults(&self) -> &[DefaultGrant] {
        &self.defaults
    }

    /// The grants that were made on an object; `None` if it has those that are the default.
    pub fn explicit_grants(&self, object: &Object) -> Option<&[Grant]> {
        self.grants.get(object).map(Vec::as_slice)
    }

    /// The grants on an object, without the owner's own, who has every privilege.
    pub fn grants(&self, object: &Object) -> Vec<Grant> {
        match self.explicit_grants(object) {
            Some(grants) => grants.to_vec(),
            None => self.default_grants(object),
        }
    }

    /// The grants of an object that was never touched.
    pub fn default_grants(&self, object: &Object) -> Vec<Grant> {
        let by_owner = |grantee: Option<&String>, privilege, grantable| Grant {
            grantee: grantee.cloned(),
            grantor: OWNER.to_owned(),
            privilege,
            grantable,
        };
        match object {
            Object::Database => [Privilege::Temporary, Privilege::Connect]
                .map(|privilege| by_owner(None, privilege, false))
                .to_vec(),
            Object::Schema(name) if name == "public" => {
                vec![by_owner(None, Privilege::Usage, false)]
            }
            Object::Schema(_) => Vec::new(),
            Object::Table { schema, .. } => {
                let applies = |default: &&DefaultGrant| {
                    default.schema.as_ref().is_none_or(|only| only == schema)
                };
                let mut grants: Vec<Grant> = Vec::new();
                for default in self.defaults.iter().filter(applies) {
                    let known = grants.iter_mut().find(|grant| {
                        grant.grantee == default.grantee && grant.privilege == default.privilege
                    });
                    match known {
                        Some(grant) => grant.grantable |= default.grantable,
                        None => grants.push(by_owner(
                            default.grantee.as_ref(),
                            default.privilege,
                            default.grantable,
                        )),
                    }
                }
                grants
            }
        }
    }

    /// The roles whose privileges `name` has: its own and, where it inherits, those it belongs to.
    pub fn inherited(&self, name: &str) -> BTreeSet<&str> {
        self.reachable(name, |role| role.inherit)
    }

    /// Whether `name` is `group` or belongs to it, whether or not it inherits from it.
    pub fn is_member(&self, name: &str, group: &str) -> bool {
        name == group || self.reachable(name, |_| true).contains(group)
    }

    fn reachable(&self, name: &str, through: impl Fn(&Role) -> bool) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let Some(role) = self.role(name) else {
                continue;
            };
            if found.insert(role.name.as_str()) && through(role) {
                open.extend(role.member_of.iter().map(|to| to.role.as_str()));
            }
        }
        found
    }

    /// Whether the superusers who can log in would be none without `name`.
    pub fn is_last_superuser(&self, name: &str) -> bool {
        let mut admins = self
            .roles()
            .filter(|role| role.superuser && role.login && role.verifier.is_some());
        admins.next().is_some_and(|role| role.name == name) && admins.next().is_none()
    }

    /// What a session may do whose user is `user` and whose SET ROLE, if any, is `role`.
    pub fn authorize(&self, user: &str, role: Option<&str>) -> Result<Authorization> {
        if self.is_open() {
            return Ok(Authorization {
                user: role.unwrap_or(user).to_owned(),
                superuser: true,
                roles: BTreeSet::new(),
            });
        }
        let session = self.role(user).ok_or_else(|| {
            Error::insufficient_privilege(format!("role \"{user}\" does not exist any more"))
        })?;
        let current = match role {
            None => session,
            Some(name) => {
                let role = self.existing(name)?;
                if !session.superuser && !self.is_member(user, name) {
                    return Err(Error::insufficient_privilege(format!(
                        "permission denied to set role \"{name}\""
                    )));
                }
                role
            }
        };
        let inherited = self.inherited(&current.name);
        Ok(Authorization {
            user: current.name.clone(),
            superuser: current.superuser,
            roles: inherited.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// What one session may do now.
///
/// A user who is gone, or a role that was taken away, leaves what everybody has.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// The current user.
    pub user: String,
    /// Whether it may do everything.
    pub superuser: bool,
    /// The roles whose privileges it has.
    roles: BTreeSet<String>,
}

impl Authorization {
    /// Of a user who is gone.
    pub fn of_nobody(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            superuser: false,
            roles: BTreeSet::new(),
        }
    }

    /// Whether it has the privileges of a role.
    pub fn has_role(&self, name: &str) -> bool {
        self.superuser || self.roles.contains(name)
    }

    /// Whether it may do everything with objects, all of which belong to the owner.
    pub fn owns(&self) -> bool {
        self.has_role(OWNER)
    }

    /// Whether it has a privilege on an object.
    pub fn may(&self, book: &Book, privilege: Privilege, object: &Object) -> bool {
        self.holds(book, privilege, object, false)
    }

    /// Whether it may give a privilege on an object to others.
    pub fn may_grant(&self, book: &Book, privilege: Privilege, object: &Object) -> bool {
        self.holds(book, privilege, object, true)
    }

    /// Whether it has any privilege on an object.
    pub fn may_anything(&self, book: &Book, object: &Object) -> bool {
        let privileges = object.kind().privileges();
        privileges
            .iter()
            .any(|privilege| self.may(book, *privilege, object))
    }

    fn holds(&self, book: &Book, privilege: Privilege, object: &Object, grantable: bool) -> bool {
        self.owns()
            || book.grants(object).iter().any(|grant| {
                grant.privilege == privilege
                    && (grant.grantable || !grantable)
                    && match &grant.grantee {
                        None => true,
                        Some(grantee) => self.roles.contains(grantee),
                    }
            })
    }
}

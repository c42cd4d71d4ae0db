//! CREATE, ALTER and DROP ROLE; who belongs to whom.

use super::super::OWNER;
use super::super::book::{Membership, Role};
use super::super::store::{self, Failure};
use super::{Attributes, RoleName, Work};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

/// Length of a role's name at the most, in bytes, as of every name in PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

impl Work<'_> {
    pub(super) fn create_role(
        &mut self,
        name: &str,
        attributes: &Attributes,
    ) -> Result<&'static str, Failure> {
        check_name(name)?;
        self.may_create(attributes)?;
        let known = self.book.role(name);
        // The owner's row is always there; until it has a login it can still be made.
        if known.is_some_and(|role| role.name != OWNER || role.login) {
            return Err(Error::new(
                SqlState::DuplicateObject,
                format!("role \"{name}\" already exists"),
            )
            .into());
        }
        let mut role = known.cloned().unwrap_or_else(|| Role {
            name: name.to_owned(),
            superuser: false,
            inherit: true,
            create_role: false,
            create_database: false,
            login: false,
            replication: false,
            bypass_rls: false,
            connections_max: -1,
            verifier: None,
            valid_until_us: None,
            member_of: Vec::new(),
        });
        apply(&mut role, attributes);
        self.first_is_admin(&role)?;
        owner_is_superuser(&role)?;
        store::put_role(self.transaction, &role)?;
        self.book.roles.insert(role.name.clone(), role);
        for group in &attributes.member_of {
            self.grant_role(group, name, false)?;
        }
        for (member, admin) in &attributes.members {
            self.grant_role(name, member, *admin)?;
        }
        Ok("CREATE ROLE")
    }

    fn may_create(&self, attributes: &Attributes) -> Result<()> {
        if self.session.superuser {
            return Ok(());
        }
        let message = if attributes.superuser == Some(true) {
            "must be superuser to create superusers"
        } else if attributes.replication == Some(true) {
            "must be superuser to create replication users"
        } else if attributes.bypass_rls == Some(true) {
            "must be superuser to create bypassrls users"
        } else if !self.may_manage_roles() {
            "permission denied to create role"
        } else {
            return Ok(());
        };
        Err(Error::insufficient_privilege(message))
    }

    fn may_manage_roles(&self) -> bool {
        let own = self.book.role(&self.session.user);
        self.session.superuser || own.is_some_and(|role| role.create_role)
    }

    /// As soon as one role can log in, all need a password: the first one must be able to go on.
    fn first_is_admin(&self, role: &Role) -> Result<()> {
        let lets_in = role.superuser && role.verifier.is_some();
        if self.book.is_open() && role.login && !lets_in {
            return Err(Error::new(
                SqlState::ObjectNotInPrerequisiteState,
                "the first role that can log in must be a superuser with a password",
            )
            .with_detail("From then on every connection needs a role and its password.")
            .with_hint("CREATE ROLE admin SUPERUSER LOGIN PASSWORD '…'"));
        }
        Ok(())
    }

    pub(super) fn alter_role(
        &mut self,
        name: &RoleName,
        attributes: &Attributes,
    ) -> Result<&'static str, Failure> {
        let name = self.role_name(name)?;
        let before = self.book.existing(&name)?.clone();
        self.may_alter(&before, attributes)?;
        let mut role = before.clone();
        apply(&mut role, attributes);
        self.first_is_admin(&role)?;
        owner_is_superuser(&role)?;
        let stays = role.superuser && role.login && role.verifier.is_some();
        if !stays && self.book.is_last_superuser(&name) {
            return Err(last_superuser(&name).into());
        }
        store::put_role(self.transaction, &role)?;
        Ok("ALTER ROLE")
    }

    fn may_alter(&self, role: &Role, attributes: &Attributes) -> Result<()> {
        if self.session.superuser {
            return Ok(());
        }
        let denied = |message: &str| Err(Error::insufficient_privilege(message));
        if role.superuser || attributes.superuser.is_some() {
            return denied(
                "must be superuser to alter superuser roles or change superuser attribute",
            );
        }
        if role.replication || attributes.replication.is_some() {
            return denied(
                "must be superuser to alter replication roles or change replication attribute",
            );
        }
        if attributes.bypass_rls.is_some() {
            return denied("must be superuser to change bypassrls attribute");
        }
        let own_password = role.name == self.session.user && attributes.is_password_alone();
        if self.may_manage_roles() || own_password {
            return Ok(());
        }
        denied("permission denied")
    }

    pub(super) fn rename_role(&mut self, from: &str, to: &str) -> Result<&'static str, Failure> {
        check_name(to)?;
        let role = self.book.existing(from)?;
        if self.session.user == from || self.actor.user == from {
            let whose = match self.actor.user == from {
                true => "session",
                false => "current",
            };
            return Err(
                Error::feature_not_supported(format!("{whose} user cannot be renamed")).into(),
            );
        }
        if from == OWNER {
            return Err(Error::feature_not_supported("the owner cannot be renamed").into());
        }
        if self.book.role(to).is_some() {
            return Err(Error::new(
                SqlState::DuplicateObject,
                format!("role \"{to}\" already exists"),
            )
            .into());
        }
        if role.superuser && !self.session.superuser {
            return Err(
                Error::insufficient_privilege("must be superuser to rename superusers").into(),
            );
        }
        if !self.may_manage_roles() {
            return Err(Error::insufficient_privilege("permission denied to rename role").into());
        }
        store::rename_role(self.transaction, from, to)?;
        Ok("ALTER ROLE")
    }

    pub(super) fn drop_roles(
        &mut self,
        names: &[RoleName],
        if_exists: bool,
    ) -> Result<&'static str, Failure> {
        if !self.may_manage_roles() {
            return Err(Error::insufficient_privilege("permission denied to drop role").into());
        }
        for name in names {
            let RoleName::Named(name) = name else {
                return Err(Error::invalid_parameter_value(
                    "cannot use special role specifier in DROP ROLE",
                )
                .into());
            };
            let Some(role) = self.book.role(name) else {
                let message = format!("role \"{name}\" does not exist");
                if !if_exists {
                    return Err(Error::undefined_object(message).into());
                }
                self.notices.push(Error::new(
                    SqlState::SuccessfulCompletion,
                    format!("{message}, skipping"),
                ));
                continue;
            };
            self.may_drop(role)?;
            store::delete_role(self.transaction, name)?;
            self.book.roles.remove(name);
        }
        Ok("DROP ROLE")
    }

    fn may_drop(&self, role: &Role) -> Result<()> {
        let name = &role.name;
        if *name == self.session.user {
            return Err(Error::object_in_use("current user cannot be dropped"));
        }
        if *name == self.actor.user {
            return Err(Error::object_in_use("session user cannot be dropped"));
        }
        if role.superuser && !self.session.superuser {
            return Err(Error::insufficient_privilege(
                "must be superuser to drop superusers",
            ));
        }
        if name == OWNER {
            return Err(Error::new(
                SqlState::DependentObjectsStillExist,
                format!("cannot drop role {name} because it is required by the database system"),
            ));
        }
        if self.book.is_last_superuser(name) {
            return Err(last_superuser(name));
        }
        let depending = self.depending_on(name);
        if depending.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            SqlState::DependentObjectsStillExist,
            format!("role \"{name}\" cannot be dropped because some objects depend on it"),
        )
        .with_detail(depending.join("\n"))
        .with_hint(format!("DROP OWNED BY {name} takes its privileges away.")))
    }

    /// The privileges that name a role, as PostgreSQL lists them.
    fn depending_on(&self, name: &str) -> Vec<String> {
        let named = |grantee: &Option<String>| grantee.as_deref() == Some(name);
        let mut found: Vec<String> = self
            .book
            .grants
            .iter()
            .filter(|(_, grants)| {
                grants
                    .iter()
                    .any(|grant| named(&grant.grantee) || grant.grantor == name)
            })
            .map(|(object, _)| format!("privileges for {} {}", object.kind().word(), object.name()))
            .collect();
        if self
            .book
            .defaults
            .iter()
            .any(|default| named(&default.grantee))
        {
            found.push(format!(
                "default privileges on new relations belonging to role {OWNER}"
            ));
        }
        found
    }

    pub(super) fn grant_roles(
        &mut self,
        roles: &[String],
        members: &[RoleName],
        admin: bool,
    ) -> Result<&'static str, Failure> {
        for role in roles {
            for member in self.role_names(members)? {
                self.grant_role(role, &member, admin)?;
            }
        }
        Ok("GRANT ROLE")
    }

    fn grant_role(&mut self, role: &str, member: &str, admin: bool) -> Result<(), Failure> {
        self.book.existing(role)?;
        self.book.existing(member)?;
        self.may_give_role(role)?;
        if self.book.is_member(role, member) {
            return Err(Error::new(
                SqlState::InvalidGrantOperation,
                format!("role \"{role}\" is a member of role \"{member}\""),
            )
            .into());
        }
        let grantor = match self.session.superuser {
            true => OWNER.to_owned(),
            false => self.session.user.clone(),
        };
        let known = self
            .book
            .role(member)
            .and_then(|member| member.member_of.iter().find(|to| to.role == role));
        if known.is_some_and(|known| known.admin || !admin) {
            self.notices.push(Error::new(
                SqlState::SuccessfulCompletion,
                format!("role \"{member}\" is already a member of role \"{role}\""),
            ));
            return Ok(());
        }
        store::put_member(self.transaction, role, member, &grantor, admin)?;
        if let Some(member) = self.book.roles.get_mut(member) {
            member.member_of.retain(|to| to.role != role);
            member.member_of.push(Membership {
                role: role.to_owned(),
                grantor,
                admin,
            });
        }
        Ok(())
    }

    fn may_give_role(&self, role: &str) -> Result<()> {
        let given = self.book.existing(role)?;
        if self.session.superuser {
            return Ok(());
        }
        if given.superuser {
            return Err(Error::insufficient_privilege(
                "must be superuser to alter superusers",
            ));
        }
        let own = self.book.role(&self.session.user);
        let has_admin_option = own.is_some_and(|own| {
            own.create_role || own.member_of.iter().any(|to| to.role == role && to.admin)
        });
        match has_admin_option {
            true => Ok(()),
            false => Err(Error::insufficient_privilege(format!(
                "must have admin option on role \"{role}\""
            ))),
        }
    }

    pub(super) fn revoke_roles(
        &mut self,
        roles: &[String],
        members: &[RoleName],
        admin_only: bool,
    ) -> Result<&'static str, Failure> {
        for role in roles {
            self.book.existing(role)?;
            self.may_give_role(role)?;
            for member in self.role_names(members)? {
                let known = self
                    .book
                    .existing(&member)?
                    .member_of
                    .iter()
                    .find(|to| to.role == *role);
                let Some(known) = known else {
                    self.notices.push(Error::new(
                        SqlState::Warning,
                        format!("role \"{member}\" is not a member of role \"{role}\""),
                    ));
                    continue;
                };
                if admin_only {
                    let grantor = &known.grantor;
                    store::put_member(self.transaction, role, &member, grantor, false)?;
                } else {
                    store::delete_member(self.transaction, role, &member)?;
                }
            }
        }
        Ok("REVOKE ROLE")
    }

    pub(super) fn reassign_owned(
        &mut self,
        roles: &[RoleName],
        to: &RoleName,
    ) -> Result<&'static str, Failure> {
        self.role_name(to)?;
        for name in self.role_names(roles)? {
            self.owns_nothing(&name, "reassign objects")?;
        }
        Ok("REASSIGN OWNED")
    }

    /// Only the owner owns objects, and what it owns cannot be given away or dropped.
    pub(super) fn owns_nothing(&self, name: &str, verb: &str) -> Result<()> {
        if name == OWNER {
            return Err(Error::new(
                SqlState::DependentObjectsStillExist,
                format!(
                    "cannot {verb} owned by role {name} because they are required by the database \
                     system"
                ),
            ));
        }
        match self.session.has_role(name) {
            true => Ok(()),
            false => Err(Error::insufficient_privilege(format!(
                "permission denied to {verb}"
            ))),
        }
    }
}

impl Attributes {
    fn is_password_alone(&self) -> bool {
        let Self {
            superuser: None,
            inherit: None,
            create_role: None,
            create_database: None,
            login: None,
            replication: None,
            bypass_rls: None,
            connections_max: None,
            password: Some(_),
            valid_until_us: None,
            member_of,
            members,
        } = self
        else {
            return false;
        };
        member_of.is_empty() && members.is_empty()
    }
}

fn apply(role: &mut Role, attributes: &Attributes) {
    let set = |field: &mut bool, value: Option<bool>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    set(&mut role.superuser, attributes.superuser);
    set(&mut role.inherit, attributes.inherit);
    set(&mut role.create_role, attributes.create_role);
    set(&mut role.create_database, attributes.create_database);
    set(&mut role.login, attributes.login);
    set(&mut role.replication, attributes.replication);
    set(&mut role.bypass_rls, attributes.bypass_rls);
    if let Some(limit) = attributes.connections_max {
        role.connections_max = limit;
    }
    if let Some(password) = &attributes.password {
        role.verifier.clone_from(password);
    }
    if let Some(until) = attributes.valid_until_us {
        role.valid_until_us = Some(until);
    }
}

fn check_name(name: &str) -> Result<()> {
    let reserved = |detail: Option<&str>| {
        let error = Error::new(
            SqlState::ReservedName,
            format!("role name \"{name}\" is reserved"),
        );
        Err(match detail {
            Some(detail) => error.with_detail(detail),
            None => error,
        })
    };
    if name.starts_with("pg_") {
        return reserved(Some("Role names starting with \"pg_\" are reserved."));
    }
    if name == "public" || name == "none" {
        return reserved(None);
    }
    if name.is_empty() || name.contains('\0') {
        return Err(Error::new(
            SqlState::InvalidName,
            "a role's name must have a character",
        ));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::new(
            SqlState::NameTooLong,
            format!("role name \"{name}\" is too long"),
        )
        .with_detail(format!("A name may take {NAME_BYTES_MAX} bytes.")));
    }
    Ok(())
}

fn owner_is_superuser(role: &Role) -> Result<()> {
    if role.name == OWNER && !role.superuser {
        return Err(Error::feature_not_supported(format!(
            "role \"{OWNER}\" owns every object and must be a superuser"
        )));
    }
    Ok(())
}

fn last_superuser(name: &str) -> Error {
    Error::new(
        SqlState::DependentObjectsStillExist,
        format!("role \"{name}\" is the last superuser who can log in"),
    )
    .with_hint("Make another one first.")
}

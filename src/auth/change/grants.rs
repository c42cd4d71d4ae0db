//! GRANT and REVOKE of privileges, and what new tables start with.

use super::super::OWNER;
use super::super::book::DefaultGrant;
use super::super::privilege::{Grant, Kind, Object, Privilege};
use super::super::store::{self, Failure};
use super::{PrivilegeRequest, RoleName, Target, Work};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

impl Work<'_> {
    pub(super) fn change_privileges(
        &mut self,
        request: &PrivilegeRequest,
        target: &Target,
    ) -> Result<&'static str, Failure> {
        let kind = match target {
            Target::Tables(_) | Target::AllTables(_) => Kind::Table,
            Target::Schemas(_) => Kind::Schema,
            Target::Databases(_) => Kind::Database,
            Target::Nothing(kind) => *kind,
        };
        let privileges = wanted(request, kind)?;
        let grantees = self.grantees(&request.grantees, request)?;
        for object in self.objects(target)? {
            let allowed = self.allowed(&object, &privileges, request)?;
            let mut grants = self.book.grants(&object);
            for privilege in allowed {
                let grantor = self.grantor(&object, privilege);
                for grantee in &grantees {
                    match request.revoke {
                        false => give(&mut grants, grantee.clone(), &grantor, privilege, request),
                        true => take(
                            &mut grants,
                            grantee.as_deref(),
                            &grantor,
                            privilege,
                            request,
                        )?,
                    }
                }
            }
            store::put_grants(self.transaction, &object, &grants)?;
            self.book.grants.insert(object, grants);
        }
        Ok(if request.revoke { "REVOKE" } else { "GRANT" })
    }

    fn grantees(
        &self,
        names: &[RoleName],
        request: &PrivilegeRequest,
    ) -> Result<Vec<Option<String>>> {
        names
            .iter()
            .map(|name| match name {
                RoleName::Public if request.grant_option && !request.revoke => Err(Error::new(
                    SqlState::InvalidGrantOperation,
                    "grant options can only be granted to roles",
                )),
                RoleName::Public => Ok(None),
                name => self.role_name(name).map(Some),
            })
            .collect()
    }

    /// Those of the privileges that this session may give on; a warning tells of the others.
    fn allowed(
        &mut self,
        object: &Object,
        wanted: &[Privilege],
        request: &PrivilegeRequest,
    ) -> Result<Vec<Privilege>> {
        let allowed: Vec<Privilege> = wanted
            .iter()
            .copied()
            .filter(|privilege| self.session.may_grant(&self.book, *privilege, object))
            .collect();
        let name = object.name();
        if allowed.is_empty() && !self.session.may_anything(&self.book, object) {
            return Err(Error::insufficient_privilege(format!(
                "permission denied for {} {name}",
                object.kind().word()
            )));
        }
        let is_all = request.privileges.is_empty();
        if allowed.is_empty() || (allowed.len() < wanted.len() && !is_all) {
            let how_many = if allowed.is_empty() { "no" } else { "not all" };
            let (state, verb) = match request.revoke {
                false => (SqlState::PrivilegeNotGranted, "were granted"),
                true => (SqlState::PrivilegeNotRevoked, "could be revoked"),
            };
            self.notices.push(Error::new(
                state,
                format!("{how_many} privileges {verb} for \"{name}\""),
            ));
        }
        Ok(allowed)
    }

    /// Whose grant it is: the owner's if the session has its rights, else the role's that may.
    fn grantor(&self, object: &Object, privilege: Privilege) -> String {
        if self.session.owns() {
            return OWNER.to_owned();
        }
        let grants = self.book.grants(object);
        let mut able = grants
            .iter()
            .filter(|grant| grant.privilege == privilege && grant.grantable)
            .filter_map(|grant| grant.grantee.clone())
            .filter(|grantee| self.session.has_role(grantee));
        let first = able.next();
        match able.any(|grantee| grantee == self.session.user) {
            true => self.session.user.clone(),
            false => first.unwrap_or_else(|| self.session.user.clone()),
        }
    }

    /// What the tables that are there now have by default becomes theirs; then the defaults change.
    /// Tables appear by themselves here, all of them the owner's: the rules are the owner's too.
    pub(super) fn change_defaults(
        &mut self,
        owners: &[RoleName],
        schemas: &[String],
        request: &PrivilegeRequest,
    ) -> Result<&'static str, Failure> {
        for owner in self.role_names(owners)? {
            let makes_tables = owner == OWNER || owner == self.session.user;
            if !makes_tables {
                return Err(Error::feature_not_supported(format!(
                    "default privileges of role \"{owner}\" would never apply"
                ))
                .with_detail(format!(
                    "Tables appear with their files, and all belong to \"{OWNER}\"."
                ))
                .with_hint("Leave FOR ROLE out.")
                .into());
            }
        }
        if !self.session.owns() {
            return Err(Error::insufficient_privilege(
                "permission denied to change default privileges",
            )
            .into());
        }
        self.settle_tables(schemas)?;
        let privileges = wanted(request, Kind::Table)?;
        let grantees = self.grantees(&request.grantees, request)?;
        let places: Vec<Option<String>> = match schemas {
            [] => vec![None],
            schemas => schemas.iter().cloned().map(Some).collect(),
        };
        let mut defaults = self.book.defaults.clone();
        for schema in places {
            for grantee in &grantees {
                for privilege in &privileges {
                    change_default(
                        &mut defaults,
                        schema.as_ref(),
                        grantee.as_ref(),
                        *privilege,
                        request,
                    );
                }
            }
        }
        store::put_defaults(self.transaction, &defaults)?;
        Ok("ALTER DEFAULT PRIVILEGES")
    }

    fn settle_tables(&mut self, schemas: &[String]) -> Result<(), Failure> {
        let relations = self.actor.relations;
        for schema in schemas {
            if relations.tables(schema).is_none() {
                return Err(super::no_schema(schema).into());
            }
        }
        for schema in relations.schemas() {
            for table in relations.tables(&schema).unwrap_or_default() {
                let object = Object::table(&schema, table);
                if self.book.explicit_grants(&object).is_none() {
                    let grants = self.book.default_grants(&object);
                    store::put_grants(self.transaction, &object, &grants)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn drop_owned(&mut self, roles: &[RoleName]) -> Result<&'static str, Failure> {
        for name in self.role_names(roles)? {
            self.owns_nothing(&name, "drop objects")?;
            let touched: Vec<Object> = self.book.grants.keys().cloned().collect();
            for object in touched {
                let mut grants = self.book.grants(&object);
                let before = grants.len();
                grants.retain(|grant| {
                    grant.grantee.as_deref() != Some(&name) && grant.grantor != name
                });
                if grants.len() < before {
                    store::put_grants(self.transaction, &object, &grants)?;
                    self.book.grants.insert(object, grants);
                }
            }
            self.book
                .defaults
                .retain(|default| default.grantee.as_deref() != Some(&name));
            store::put_defaults(self.transaction, &self.book.defaults)?;
        }
        Ok("DROP OWNED")
    }
}

/// The privileges asked for; each must exist on objects of the kind.
fn wanted(request: &PrivilegeRequest, kind: Kind) -> Result<Vec<Privilege>> {
    if request.privileges.is_empty() {
        return Ok(kind.privileges().to_vec());
    }
    for privilege in &request.privileges {
        if !kind.privileges().contains(privilege) {
            return Err(Error::new(
                SqlState::InvalidGrantOperation,
                format!(
                    "invalid privilege type {} for {}",
                    privilege.name(),
                    kind.word()
                ),
            ));
        }
    }
    Ok(request.privileges.clone())
}

fn give(
    grants: &mut Vec<Grant>,
    grantee: Option<String>,
    grantor: &str,
    privilege: Privilege,
    request: &PrivilegeRequest,
) {
    // The owner has everything already.
    if grantee.as_deref() == Some(OWNER) {
        return;
    }
    let known = grants.iter_mut().find(|grant| {
        grant.grantee == grantee && grant.grantor == grantor && grant.privilege == privilege
    });
    match known {
        Some(grant) => grant.grantable |= request.grant_option,
        None => grants.push(Grant {
            grantee,
            grantor: grantor.to_owned(),
            privilege,
            grantable: request.grant_option,
        }),
    }
}

/// Takes a grant back, and with CASCADE those that its grantee made by it.
fn take(
    grants: &mut Vec<Grant>,
    grantee: Option<&str>,
    grantor: &str,
    privilege: Privilege,
    request: &PrivilegeRequest,
) -> Result<()> {
    let is_meant = |grant: &Grant| {
        grant.grantee.as_deref() == grantee
            && grant.grantor == grantor
            && grant.privilege == privilege
    };
    if !grants.iter().any(is_meant) {
        return Ok(());
    }
    match request.grant_option {
        true => grants
            .iter_mut()
            .filter(|grant| is_meant(grant))
            .for_each(|grant| grant.grantable = false),
        false => grants.retain(|grant| !is_meant(grant)),
    }
    let Some(grantee) = grantee else {
        return Ok(());
    };
    let may_still = grants.iter().any(|grant| {
        grant.grantee.as_deref() == Some(grantee) && grant.privilege == privilege && grant.grantable
    });
    let dependent: Vec<Option<String>> = grants
        .iter()
        .filter(|grant| grant.grantor == grantee && grant.privilege == privilege)
        .map(|grant| grant.grantee.clone())
        .collect();
    if may_still || dependent.is_empty() {
        return Ok(());
    }
    if !request.cascade {
        return Err(Error::new(
            SqlState::DependentObjectsStillExist,
            "dependent privileges exist",
        )
        .with_hint("Use CASCADE to revoke them too."));
    }
    let whole = PrivilegeRequest {
        grant_option: false,
        ..request.clone()
    };
    for next in dependent {
        take(grants, next.as_deref(), grantee, privilege, &whole)?;
    }
    Ok(())
}

fn change_default(
    defaults: &mut Vec<DefaultGrant>,
    schema: Option<&String>,
    grantee: Option<&String>,
    privilege: Privilege,
    request: &PrivilegeRequest,
) {
    let is_meant = |default: &DefaultGrant| {
        default.schema.as_ref() == schema
            && default.grantee.as_ref() == grantee
            && default.privilege == privilege
    };
    let at = defaults.iter().position(is_meant);
    match (at, request.revoke, request.grant_option) {
        (Some(at), false, grantable) => {
            if let Some(default) = defaults.get_mut(at) {
                default.grantable |= grantable;
            }
        }
        (None, false, grantable) => defaults.push(DefaultGrant {
            schema: schema.cloned(),
            grantee: grantee.cloned(),
            privilege,
            grantable,
        }),
        (Some(at), true, true) => {
            if let Some(default) = defaults.get_mut(at) {
                default.grantable = false;
            }
        }
        (Some(at), true, false) => {
            defaults.remove(at);
        }
        (None, true, _) => {}
    }
}

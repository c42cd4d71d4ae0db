//! The command role: makes, lists and drops roles and sets their passwords, without a server.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::auth::change::{Actor, Asked, Attributes, Change, NoRelations, RoleName};
use crate::auth::{Authority, OWNER, password};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::metastore;
use crate::server;

/// Make, list and drop roles; set their passwords.
///
/// Roles are kept in the warehouse folder's catalog. As soon as one can log in, every connection needs
/// a role and its password. A server that runs on the folder follows within a second.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RoleCommand {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "Examples:
  loyalhouse role create admin --superuser --password-stdin --warehouse ./warehouse < password.txt
  loyalhouse role list --warehouse ./warehouse";

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a role that can log in.
    ///
    /// The password is read from standard input, one line. A SCRAM-SHA-256 verifier as PostgreSQL
    /// shows it in pg_authid is taken as it is.
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Its name.
        name: String,
        /// It may do everything. The first role must.
        #[arg(long)]
        superuser: bool,
        /// Read its password from standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// The folder of the catalog; it is made if it is not there.
        #[arg(long, value_name = "DIR")]
        warehouse: Option<PathBuf>,
    },
    /// Show every role.
    #[command(after_help = "Example:\n  loyalhouse role list --warehouse ./warehouse")]
    List {
        /// The folder of the catalog.
        #[arg(long, value_name = "DIR")]
        warehouse: Option<PathBuf>,
    },
    /// Remove a role and its privileges.
    #[command(after_help = "Example:\n  loyalhouse role drop ana --warehouse ./warehouse")]
    Drop {
        /// Its name.
        name: String,
        /// The folder of the catalog.
        #[arg(long, value_name = "DIR")]
        warehouse: Option<PathBuf>,
    },
    /// Set a role's password, read from standard input; it may log in with it.
    #[command(after_help = PASSWORD_EXAMPLES)]
    Password {
        /// Its name.
        name: String,
        /// Read the password from standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// The folder of the catalog.
        #[arg(long, value_name = "DIR")]
        warehouse: Option<PathBuf>,
    },
}

const CREATE_EXAMPLES: &str = "Examples:
  loyalhouse role create admin --superuser --password-stdin --warehouse ./warehouse < password.txt
  pass show loyalhouse/ana | loyalhouse role create ana --password-stdin --warehouse ./warehouse";

const PASSWORD_EXAMPLES: &str = "Example:
  loyalhouse role password ana --password-stdin --warehouse ./warehouse < password.txt";

impl RoleCommand {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        match self.action {
            Action::Create {
                name,
                superuser,
                warehouse,
                ..
            } => {
                let authority = catalog(config, warehouse, true)?;
                let attributes = Attributes {
                    superuser: Some(superuser),
                    login: Some(true),
                    password: Some(Some(read_verifier()?)),
                    ..Attributes::default()
                };
                change(&authority, vec![Change::CreateRole { name, attributes }])?;
            }
            Action::List { warehouse } => {
                let authority = catalog(config, warehouse, false)?;
                list(&authority)?;
            }
            Action::Drop { name, warehouse } => {
                let authority = catalog(config, warehouse, false)?;
                let names = vec![RoleName::Named(name)];
                let roles = names.clone();
                let if_exists = false;
                change(
                    &authority,
                    vec![
                        Change::DropOwned { roles },
                        Change::DropRoles { names, if_exists },
                    ],
                )?;
            }
            Action::Password {
                name, warehouse, ..
            } => {
                let authority = catalog(config, warehouse, false)?;
                let attributes = Attributes {
                    login: Some(true),
                    password: Some(Some(read_verifier()?)),
                    valid_until_us: Some(i64::MAX),
                    ..Attributes::default()
                };
                let name = RoleName::Named(name);
                change(&authority, vec![Change::AlterRole { name, attributes }])?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The catalog of the folder that the flag or the configuration names.
fn catalog(
    config: &Config,
    warehouse: Option<PathBuf>,
    make: bool,
) -> Result<std::sync::Arc<Authority>> {
    let folder = warehouse.or_else(|| config.warehouse.clone());
    let Some(folder) = folder else {
        return Err(
            Error::invalid_parameter_value("no warehouse folder was given")
                .with_hint("Give --warehouse DIR, the folder that `loyalhouse serve` is given."),
        );
    };
    if !make && !has_catalog(&folder) {
        return Err(
            Error::undefined_file(format!("there is no catalog in {}", folder.display()))
                .with_hint("`loyalhouse role create` makes one."),
        );
    }
    server::authority(&Config {
        warehouse: Some(folder),
        ..config.clone()
    })
    .map(|(authority, _)| authority)
}

fn has_catalog(folder: &Path) -> bool {
    folder.join(metastore::FILE_NAME).exists()
}

fn change(authority: &Authority, changes: Vec<Change>) -> Result<()> {
    let asked = |change| Asked { change, role: None };
    let changes: Vec<Asked> = changes.into_iter().map(asked).collect();
    let actor = Actor {
        user: OWNER,
        relations: &NoRelations,
    };
    authority.change(&changes, &actor).map(|_| ())
}

/// The verifier of the password that is the first line of standard input.
fn read_verifier() -> Result<crate::auth::scram::Verifier> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| {
            Error::io_error("could not read the password from standard input").with_source(error)
        })?;
    let password = line.trim_end_matches(['\n', '\r']);
    password::verifier_of(password)?.ok_or_else(|| {
        Error::invalid_parameter_value("the password is empty")
            .with_hint("Write it to standard input, as one line.")
    })
}

fn list(authority: &Authority) -> Result<()> {
    let book = authority.book();
    let mut out = std::io::stdout().lock();
    for role in book.roles() {
        let mut words = Vec::new();
        for (has, word) in [
            (role.superuser, "superuser"),
            (role.create_role, "create role"),
            (role.create_database, "create database"),
            (!role.login, "cannot log in"),
            (role.login && role.verifier.is_none(), "no password"),
        ] {
            if has {
                words.push(word.to_owned());
            }
        }
        words.extend(
            role.member_of
                .iter()
                .map(|to| format!("member of {}", to.role)),
        );
        let line = [role.name.clone(), words.join(", ")].join("\t");
        writeln!(out, "{}", line.trim_end()).map_err(|error| {
            Error::io_error("could not write to standard output").with_source(error)
        })?;
    }
    Ok(())
}

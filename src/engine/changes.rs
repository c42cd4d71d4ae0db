//! Statements that change roles and privileges, at once or when their transaction block commits.

use std::sync::Arc;

use super::Shared;
use super::command::Completion;
use super::control::StatementControl;
use super::session::{Session, TransactionStatus};
use super::session_command;
use super::settings::Settings;
use super::statement::session_command::SessionCommand;
use crate::auth::change::{Actor, Asked, Change, Done, Relations};
use crate::catalog::database::Database;
use crate::error::{Error, Result};

/// Changes of one transaction block.
const PENDING_MAX: usize = 10_000;

/// The changes of a transaction block so far. They are rehearsed when asked for, so that what cannot be
/// done says so there; they are made together at COMMIT, and until then nobody sees them.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    asked: Vec<Asked>,
    /// Savepoints and how many changes stood before each.
    savepoints: Vec<(String, usize)>,
}

impl PendingChanges {
    pub(super) fn clear(&mut self) {
        self.asked.clear();
        self.savepoints.clear();
    }

    fn savepoint(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|(known, _)| known == name)
    }
}

impl Session {
    /// Makes a change, or keeps it for the end of the open transaction block.
    pub(super) async fn ask_for_change(
        &mut self,
        change: Change,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        let role = self.facts().role();
        let asked = Asked { change, role };
        if self.transaction_status() == TransactionStatus::Idle && !self.in_implicit_block {
            self.changes.clear();
            let done = self.change(vec![asked], true, control).await?;
            return Ok(completion(done));
        }
        if self.changes.asked.len() >= PENDING_MAX {
            return Err(Error::program_limit_exceeded(
                "the transaction changes too many roles and privileges",
            )
            .with_detail(format!("The limit is {PENDING_MAX} statements.")));
        }
        let mut all = self.changes.asked.clone();
        all.push(asked.clone());
        let done = self.change(all, false, control).await?;
        self.changes.asked.push(asked);
        Ok(completion(done))
    }

    /// What a transaction command means for the changes that wait. At COMMIT they are made; if that
    /// fails, the block is rolled back.
    pub(super) async fn settle_changes(
        &mut self,
        command: &SessionCommand,
        control: &Arc<StatementControl>,
    ) -> Result<()> {
        use SessionCommand as C;
        match command {
            C::Commit { .. } => {
                let asked = std::mem::take(&mut self.changes.asked);
                self.changes.clear();
                let commits = match self.transaction_status() {
                    TransactionStatus::InTransaction => true,
                    TransactionStatus::Idle => self.in_implicit_block,
                    TransactionStatus::Failed => false,
                };
                if commits && !asked.is_empty() {
                    let made = self.change(asked, true, control).await;
                    if let Err(error) = made {
                        let chain = false;
                        session_command::run(self, &C::Rollback { chain })?;
                        return Err(error);
                    }
                }
            }
            C::Rollback { .. } => self.changes.clear(),
            C::Begin { .. }
                if self.transaction_status() == TransactionStatus::Idle
                    && !self.in_implicit_block =>
            {
                self.changes.clear();
            }
            C::Savepoint(name) => {
                let before = self.changes.asked.len();
                self.changes.savepoints.push((name.clone(), before));
            }
            C::Release(name) => {
                if let Some(at) = self.changes.savepoint(name) {
                    self.changes.savepoints.truncate(at);
                }
            }
            C::RollbackTo(name) => {
                if let Some(at) = self.changes.savepoint(name) {
                    let savepoint = self.changes.savepoints.get(at);
                    let before = savepoint.map_or(0, |(_, before)| *before);
                    self.changes.asked.truncate(before);
                    self.changes.savepoints.truncate(at + 1);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the statements that were sent as one have asked for changes that are to be made with
    /// the last of them.
    pub fn has_changes_to_make(&self) -> bool {
        self.in_implicit_block
            && self.transaction_status() == TransactionStatus::Idle
            && !self.changes.asked.is_empty()
    }

    /// The statements that were sent as one are through: their changes are made.
    ///
    /// # Errors
    /// What a change fails with; then none is made.
    pub async fn make_changes(&mut self, control: &Arc<StatementControl>) -> Result<()> {
        let asked = std::mem::take(&mut self.changes.asked);
        self.changes.clear();
        self.change(asked, true, control).await.map(|_| ())
    }

    /// Makes or rehearses changes on a thread that may wait for the disk.
    async fn change(
        &self,
        asked: Vec<Asked>,
        make: bool,
        control: &Arc<StatementControl>,
    ) -> Result<Vec<Done>> {
        let user = self.backend().origin.user.clone();
        let current = self.facts().authorization().user;
        let settings = self.settings().clone();
        self.plan_on_thread(control, move |shared, _| async move {
            shared.lake.refresh_if_stale().await?;
            change(
                &shared,
                &user,
                &Tables::of(&shared, &settings, &current),
                &asked,
                make,
            )
        })
        .await
    }
}

fn change(
    shared: &Shared,
    user: &str,
    relations: &Tables,
    asked: &[Asked],
    make: bool,
) -> Result<Vec<Done>> {
    let actor = Actor { user, relations };
    match make {
        true => shared.authority.change(asked, &actor),
        false => shared.authority.rehearse(asked, &actor),
    }
}

/// What the last change has to say; those before it have said theirs.
fn completion(mut done: Vec<Done>) -> Completion {
    let Some(last) = done.pop() else {
        return Completion::tag("");
    };
    let mut completion = Completion::tag(last.tag);
    completion.notices = last.notices;
    completion
}

/// The tables that there are to grant on.
#[derive(Debug)]
struct Tables {
    database: Arc<Database>,
    search_path: Vec<String>,
}

impl Tables {
    fn of(shared: &Shared, settings: &Settings, user: &str) -> Self {
        Self {
            database: Arc::clone(&shared.database),
            search_path: settings.search_path(user),
        }
    }
}

impl Relations for Tables {
    fn tables(&self, schema: &str) -> Option<Vec<String>> {
        let known = self.database.user_schemas().contains(schema);
        known.then(|| self.database.relation_names(schema).into_iter().collect())
    }

    fn schemas(&self) -> Vec<String> {
        self.database.user_schemas().into_iter().collect()
    }

    fn search_path(&self) -> Vec<String> {
        self.search_path.clone()
    }
}

//! Alerts: conditions that are looked at on a schedule, and who hears of it.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use crate::catalog::pg_type;
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::session::Session;
use crate::engine::state::CATALOG;
use crate::engine::statement::alert_command::{AlertCommand, CreateAlert};
use crate::engine::statement::view_command::Alteration;
use crate::error::{Error, Result};
use crate::jobs::options::{Options, Sort};
use crate::jobs::{Change, Job};
use crate::sqlstate::SqlState;

impl Session {
    pub(in crate::engine) async fn run_alert_command(
        &mut self,
        command: &AlertCommand,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        match command {
            AlertCommand::Create(create) => self.create_alert(create, control).await,
            AlertCommand::Alter { name, action } => self.alter_alert(name, action),
            AlertCommand::Drop { names, if_exists } => self.drop_alerts(names, *if_exists),
        }
    }

    /// The alert of a name, as this transaction sees it; 42501 if it is another role's.
    fn alert(&self, name: &str) -> Result<Option<Arc<Job>>> {
        let known = self.jobs()?.seen(&self.work.jobs);
        let mut jobs = known.into_values();
        let found = jobs.find(|job| job.sort == Sort::Alert && job.name.as_deref() == Some(name));
        let authorization = self.facts().authorization();
        match found {
            Some(job) if !authorization.superuser && !authorization.has_role(&job.user) => Err(
                Error::insufficient_privilege(format!("must be owner of alert {name}")),
            ),
            found => Ok(found),
        }
    }

    async fn create_alert(
        &mut self,
        create: &CreateAlert,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        self.check_writable("CREATE ALERT")?;
        let done = Completion::tag("CREATE ALERT");
        let options = Options::read(&create.options, Sort::Alert)?;
        if options.schedule.is_none() {
            return Err(Error::invalid_parameter_value("an alert needs a schedule")
                .with_hint("Add WITH (schedule = '*/5 * * * *', notify = 'channel')."));
        }
        let old = self.alert(&create.name)?;
        match &old {
            Some(_) if create.if_not_exists => {
                let message = format!("alert \"{}\" already exists, skipping", create.name);
                return Ok(done.warning(SqlState::DuplicateTable, &message));
            }
            Some(_) if !create.or_replace => {
                return Err(Error::new(
                    SqlState::DuplicateObject,
                    format!("alert \"{}\" already exists", create.name),
                ));
            }
            _ => {}
        }
        let planned = self.plan(&create.query, &[], None, control).await?;
        let field = planned.schema.fields().first();
        let is_truth = field
            .is_some_and(|field| matches!(field.data_type(), DataType::Boolean | DataType::Null));
        if !is_truth {
            let name = field.map(|field| pg_type::pg_type_of_field(field).0);
            let name = name.and_then(|oid| pg_type::format_type(oid, -1));
            return Err(Error::new(
                SqlState::DatatypeMismatch,
                format!(
                    "argument of WHEN must be type boolean, not type {}",
                    name.unwrap_or_else(|| "unknown".to_owned())
                ),
            ));
        }
        let user = self.facts().authorization().user;
        let job = Job {
            id: match &old {
                Some(old) => old.id,
                None => self.jobs()?.new_id(),
            },
            name: Some(create.name.clone()),
            sort: Sort::Alert,
            relation: None,
            user,
            database: CATALOG.to_owned(),
            command: create.text.clone(),
            active: true,
            options: create.options.clone(),
        };
        self.work.jobs.push(Change::Put(Arc::new(job)))?;
        Ok(done)
    }

    fn alter_alert(&mut self, name: &str, action: &Alteration) -> Result<Completion> {
        self.check_writable("ALTER ALERT")?;
        let job = self.alert(name)?.ok_or_else(|| no_alert(name))?;
        let mut job = job.as_ref().clone();
        match action {
            Alteration::Suspend => job.active = false,
            Alteration::Resume => job.active = true,
            Alteration::Set(options) => job.options.extend(options.clone()),
            Alteration::Reset(names) => {
                for name in names {
                    crate::jobs::options::check_name(name, Sort::Alert)?;
                    job.options.remove(name);
                }
            }
            Alteration::Rename(to) => {
                if self.alert(to)?.is_some() {
                    let message = format!("alert \"{to}\" already exists");
                    return Err(Error::new(SqlState::DuplicateObject, message));
                }
                job.name = Some(to.clone());
            }
            _ => return Err(super::unsupported("this form of ALTER ALERT")),
        }
        if job.read_options()?.schedule.is_none() {
            return Err(Error::invalid_parameter_value("an alert needs a schedule"));
        }
        self.work.jobs.push(Change::Put(Arc::new(job)))?;
        Ok(Completion::tag("ALTER ALERT"))
    }

    fn drop_alerts(&mut self, names: &[String], if_exists: bool) -> Result<Completion> {
        self.check_writable("DROP ALERT")?;
        let mut done = Completion::tag("DROP ALERT");
        for name in names {
            match self.alert(name)? {
                Some(job) => self.work.jobs.push(Change::Remove(job.id))?,
                None if if_exists => {
                    let message = format!("alert \"{name}\" does not exist, skipping");
                    done = done.warning(SqlState::UndefinedTable, &message);
                }
                None => return Err(no_alert(name)),
            }
        }
        Ok(done)
    }

    /// Whether the condition of an alert holds: NULL does not.
    pub async fn holds(&mut self, condition: &str) -> Result<bool> {
        let running = self.begin(condition);
        let control = &running.control;
        let parsed = self.parse(condition, control).await?.pop();
        let query = parsed.and_then(|parsed| parsed.statement);
        let query = query.ok_or_else(|| Error::internal("an alert has no condition"))?;
        let value = Box::pin(self.single_value(&query, control)).await;
        self.end();
        Ok(value? == ScalarValue::Boolean(Some(true)))
    }
}

/// 42704
fn no_alert(name: &str) -> Error {
    Error::undefined_object(format!("alert \"{name}\" does not exist"))
}

//! DROP, TRUNCATE and COMMENT ON.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    CommentObject, ObjectName, ObjectType, Truncate, TruncateIdentityOption,
};

use super::create::{key, single};
use super::names::view_query;
use super::resolve::{Found, in_place, no_schema, shown};
use super::unsupported;
use crate::auth::privilege::Privilege;
use crate::engine::command::Completion;
use crate::engine::session::Session;
use crate::engine::statement::dialect::{name_of, name_parts};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;
use crate::warehouse::{Kind, Operation, Relation};

impl Session {
    pub(super) async fn drop_objects(
        &mut self,
        kind: ObjectType,
        names: &[ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<Completion> {
        let (command, kind) = match kind {
            ObjectType::Table => ("DROP TABLE", Kind::Table),
            ObjectType::View => ("DROP VIEW", Kind::View),
            ObjectType::Schema => return self.drop_schemas(names, if_exists, cascade).await,
            ObjectType::MaterializedView => ("DROP MATERIALIZED VIEW", Kind::MaterializedView),
            other => return Err(unsupported(&format!("DROP {other}"))),
        };
        self.check_writable(command)?;
        let mut done = Completion::tag(command);
        for name in names {
            match self.find(name)? {
                None if if_exists => {
                    let what = kind.name();
                    done = missing(done, what, std::slice::from_ref(name));
                }
                None => {
                    let what = kind.name();
                    return Err(Error::new(
                        SqlState::UndefinedTable,
                        format!("{what} \"{}\" does not exist", shown(name)),
                    ));
                }
                Some(Found::InPlace(table)) => return Err(in_place(&table)),
                Some(Found::Written(relation)) => {
                    check_kind(&relation, kind)?;
                    self.drop_relation(&relation, cascade).await?;
                }
            }
        }
        Ok(done)
    }

    pub(super) async fn drop_relation(
        &mut self,
        relation: &Arc<Relation>,
        cascade: bool,
    ) -> Result<()> {
        self.check_owner(relation)?;
        let dependents = self.dependents(relation)?;
        if let Some(view) = dependents.first()
            && !cascade
        {
            let what = relation.kind.name();
            return Err(Error::new(
                SqlState::DependentObjectsStillExist,
                format!(
                    "cannot drop {what} {} because other objects depend on it",
                    relation.name
                ),
            )
            .with_detail(format!(
                "{} {} depends on {what} {}",
                view.kind.name(),
                view.name,
                relation.name
            ))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        self.hold(relation).await?;
        if relation.kind == Kind::MaterializedView {
            self.forget_job(relation)?;
        }
        let gone = Arc::clone(relation);
        self.stage(|staged| {
            staged.forget_content(&gone.id);
            staged.set_relation(key(&gone), Some(gone), None);
        });
        for view in dependents {
            if self
                .existing_view()?
                .relation(&view.schema, &view.name)
                .is_some()
            {
                Box::pin(self.drop_relation(&view, true)).await?;
            }
        }
        Ok(())
    }

    /// The views whose queries name a relation.
    pub(super) fn dependents(&self, relation: &Relation) -> Result<Vec<Arc<Relation>>> {
        let view = self.existing_view()?;
        let mut dependents = Vec::new();
        for other in view.relations() {
            if other.kind == Kind::Table || other.id == relation.id {
                continue;
            }
            let (query, _) = view_query(&other)?;
            let mut found = false;
            let _: std::ops::ControlFlow<()> =
                datafusion::sql::sqlparser::ast::visit_relations(query.as_ref(), |name| {
                    found |= names_relation(name, &other, relation);
                    std::ops::ControlFlow::Continue(())
                });
            if found {
                dependents.push(other);
            }
        }
        Ok(dependents)
    }

    async fn drop_schemas(
        &mut self,
        names: &[ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<Completion> {
        self.check_writable("DROP SCHEMA")?;
        let mut done = Completion::tag("DROP SCHEMA");
        for name in names {
            let name = single(name)?;
            let view = self.existing_view()?;
            let Some(schema) = view.schema(&name) else {
                if self.schemas()?.contains(&name) {
                    return Err(Error::feature_not_supported(format!(
                        "schema \"{name}\" is a folder that is read in place"
                    )));
                }
                if if_exists {
                    let message = format!("schema \"{name}\" does not exist, skipping");
                    done = done.warning(SqlState::InvalidSchemaName, &message);
                    continue;
                }
                return Err(no_schema(&name));
            };
            if !self.facts().authorization().has_role(&schema.owner) {
                return Err(Error::insufficient_privilege(format!(
                    "must be owner of schema {name}"
                )));
            }
            let inside = view
                .relations()
                .into_iter()
                .filter(|relation| relation.schema == name);
            let inside: Vec<_> = inside.collect();
            if let Some(first) = inside.first()
                && !cascade
            {
                return Err(Error::new(
                    SqlState::DependentObjectsStillExist,
                    format!("cannot drop schema {name} because other objects depend on it"),
                )
                .with_detail(format!("{name}.{} depends on schema {name}", first.name))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            for relation in inside {
                if self
                    .existing_view()?
                    .relation(&relation.schema, &relation.name)
                    .is_some()
                {
                    self.drop_relation(&relation, true).await?;
                }
            }
            self.stage(|staged| staged.set_schema(&name, Some(schema), None));
        }
        Ok(done)
    }

    pub(super) async fn truncate(&mut self, truncate: &Truncate) -> Result<Completion> {
        self.check_writable("TRUNCATE TABLE")?;
        for target in &truncate.table_names {
            let relation = self.written(&target.name)?;
            check_kind(&relation, Kind::Table)?;
            self.check_privilege(&relation, Privilege::Truncate)?;
            self.hold(&relation).await?;
            let base = self.content_to_change(&relation).await?;
            let columns = Arc::clone(base.columns());
            let empty = self.warehouse()?.content_of(
                &relation,
                columns,
                Vec::new(),
                Some(base.as_ref()),
            )?;
            if truncate.identity == Some(TruncateIdentityOption::Restart) {
                for sequence in &relation.sequences {
                    self.warehouse()?
                        .set_number(sequence, sequence.start, false)?;
                }
            }
            self.stage(|staged| {
                staged.set_content(&relation.id, Some(base), empty, Operation::Delete);
            });
        }
        Ok(Completion::tag("TRUNCATE TABLE"))
    }

    pub(super) async fn comment(
        &mut self,
        kind: CommentObject,
        name: &ObjectName,
        comment: Option<String>,
    ) -> Result<Completion> {
        self.check_writable("COMMENT")?;
        let done = Completion::tag("COMMENT");
        let comment = comment.filter(|comment| !comment.is_empty());
        match kind {
            CommentObject::Table | CommentObject::View | CommentObject::MaterializedView => {
                let relation = self.written(name)?;
                self.check_owner(&relation)?;
                let mut noted = relation.as_ref().clone();
                noted.notes.comment = comment;
                self.stage(|staged| {
                    staged.set_relation(key(&relation), Some(relation), Some(Arc::new(noted)));
                });
            }
            CommentObject::Column => {
                let mut table = name.clone();
                let column = table.0.pop().and_then(|part| part.as_ident().map(name_of));
                let column = column.ok_or_else(|| Error::syntax_error("a column must be named"))?;
                let relation = self.written(&table)?;
                self.check_owner(&relation)?;
                self.hold(&relation).await?;
                let base = self.content_to_change(&relation).await?;
                let columns =
                    commented(base.columns(), &relation.name, &column, comment.as_deref())?;
                let files = base.files().to_vec();
                let now =
                    self.warehouse()?
                        .content_of(&relation, columns, files, Some(base.as_ref()))?;
                self.stage(|staged| {
                    staged.set_content(&relation.id, Some(base), now, Operation::Append);
                });
            }
            CommentObject::Schema => {
                let name = single(name)?;
                let schema = self
                    .existing_view()?
                    .schema(&name)
                    .ok_or_else(|| no_schema(&name))?;
                let mut noted = schema.as_ref().clone();
                noted.comment = comment;
                self.stage(|staged| staged.set_schema(&name, Some(schema), Some(Arc::new(noted))));
            }
            other => return Err(unsupported(&format!("COMMENT ON {other}"))),
        }
        Ok(done)
    }
}

fn commented(
    columns: &SchemaRef,
    table: &str,
    column: &str,
    comment: Option<&str>,
) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = columns
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    let field = fields.iter_mut().find(|field| field.name() == column);
    let field = field.ok_or_else(|| {
        Error::undefined_column(format!(
            "column \"{column}\" of relation \"{table}\" does not exist"
        ))
    })?;
    let mut metadata = field.metadata().clone();
    match comment {
        Some(comment) => metadata.insert("comment".to_owned(), comment.to_owned()),
        None => metadata.remove("comment"),
    };
    field.set_metadata(metadata);
    Ok(Arc::new(Schema::new_with_metadata(
        fields,
        columns.metadata().clone(),
    )))
}

/// 42809 for a name of another kind.
fn check_kind(relation: &Relation, kind: Kind) -> Result<()> {
    if relation.kind == kind {
        return Ok(());
    }
    let what = kind.name();
    let other = relation.kind.name();
    Err(
        Error::wrong_object_type(format!("\"{}\" is not a {what}", relation.name)).with_hint(
            format!("Use DROP {} to remove a {other}.", other.to_uppercase()),
        ),
    )
}

/// Whether a name in a view's query means a relation.
fn names_relation(name: &ObjectName, view: &Relation, relation: &Relation) -> bool {
    match name_parts(name).unwrap_or_default().as_slice() {
        [table] => *table == relation.name && view.search_path.contains(&relation.schema),
        [.., schema, table] => *schema == relation.schema && *table == relation.name,
        [] => false,
    }
}

pub(super) fn missing(mut done: Completion, what: &str, names: &[ObjectName]) -> Completion {
    for name in names {
        let message = format!("{what} \"{}\" does not exist, skipping", shown(name));
        done = done.warning(SqlState::UndefinedTable, &message);
    }
    done
}

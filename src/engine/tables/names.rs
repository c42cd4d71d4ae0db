//! The relations that a query names: found by the search path, views replaced by their queries.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableAlias,
    TableAliasColumnDef, TableFactor, Visit, VisitMut, Visitor, VisitorMut, With,
};

use super::QUERIES_SCHEMA;
use crate::auth::privilege::{Object, Privilege};
use crate::catalog::SessionFacts;
use crate::catalog::layout::is_pg_catalog_relation;
use crate::engine::authorize;
use crate::engine::plan;
use crate::engine::state::{CATALOG, SessionVariables};
use crate::engine::statement::dialect::{name_of, name_parts};
use crate::engine::statement::{self, limits};
use crate::error::{Error, Result};
use crate::warehouse::{Kind, Relation, TEMPORARY_SCHEMA, View};

/// Views that stand on views.
const VIEW_DEPTH_MAX: usize = 32;

/// Finds the relations of a statement in place; the tables that its views let it read.
pub(in crate::engine) fn resolve(
    statement: &mut Statement,
    state: &SessionState,
) -> Result<BTreeSet<(String, String)>> {
    let extensions = &state.config_options().extensions;
    let (Some(facts), Some(variables)) = (
        extensions.get::<SessionFacts>(),
        extensions.get::<SessionVariables>(),
    ) else {
        return Ok(BTreeSet::new());
    };
    let Some(view) = &variables.view else {
        return Ok(BTreeSet::new());
    };
    let mut resolver = Resolver {
        variables,
        view,
        path: &facts.search_path,
        default_schema: &state.config_options().catalog.default_schema,
        owner: None,
        through: BTreeSet::new(),
        hidden: Vec::new(),
        taken: Vec::new(),
        depth: 0,
    };
    match VisitMut::visit(statement, &mut resolver) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(resolver.through),
    }
}

struct Resolver<'a> {
    variables: &'a SessionVariables,
    view: &'a Arc<View>,
    /// The schemas that a bare name is looked up in.
    path: &'a [String],
    /// The schema in which the planner looks a bare name up.
    default_schema: &'a str,
    /// The owner of the view whose query this is.
    owner: Option<String>,
    through: BTreeSet<(String, String)>,
    /// Names of WITH that hide relations, by query.
    hidden: Vec<Vec<String>>,
    /// The WITH of each query that the visit is in; its queries were visited before.
    taken: Vec<Option<With>>,
    depth: usize,
}

impl VisitorMut for Resolver<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let mut with = query.with.take();
        self.hidden.push(Vec::new());
        for cte in with.iter_mut().flat_map(|with| {
            let recursive = with.recursive;
            with.cte_tables.iter_mut().map(move |cte| (recursive, cte))
        }) {
            let (recursive, cte) = cte;
            let name = name_of(&cte.alias.name);
            // It sees those before it, and itself only if it may be recursive.
            if recursive {
                self.hide(name.clone());
            }
            VisitMut::visit(cte.query.as_mut(), self)?;
            if !recursive {
                self.hide(name);
            }
        }
        self.taken.push(with);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        query.with = self.taken.pop().flatten();
        self.hidden.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Resolver<'_> {
    fn hide(&mut self, name: String) {
        if let Some(names) = self.hidden.last_mut() {
            names.push(name);
        }
    }

    fn factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        else {
            return Ok(());
        };
        let Some((schema, table)) = self.found(name) else {
            return Ok(());
        };
        if schema == QUERIES_SCHEMA {
            let relation = self
                .view
                .relation_by_id(&table)
                .filter(|relation| authorize::owns(&self.variables.authorization(), relation));
            if let Some(relation) = relation {
                let alias = alias.take();
                *factor = self.inlined(&relation, alias)?;
            }
            return Ok(());
        }
        let relation = self.view.relation(&schema, &table);
        if self.owner.is_some() {
            self.read_by_owner(&schema, &table)?;
        }
        match relation {
            Some(relation) if relation.kind == Kind::View => {
                let alias = alias.take();
                *factor = self.inlined(&relation, alias)?;
            }
            // In a view always: what is around it must not give the name another meaning.
            _ if name.0.len() == 1 && (self.owner.is_some() || schema != self.default_schema) => {
                let parts = [schema, table].map(|part| Ident::with_quote('"', part));
                // Errors point at what was written.
                let mut parts = parts.to_vec();
                if let (Some(last), Some(written)) = (parts.last_mut(), name.0.last()) {
                    last.span = written.as_ident().map_or(last.span, |written| written.span);
                }
                *name = ObjectName::from(parts);
            }
            _ => {}
        }
        Ok(())
    }

    /// Schema and name of a user's relation.
    fn found(&self, name: &ObjectName) -> Option<(String, String)> {
        let parts = name_parts(name)?;
        match parts.as_slice() {
            [database, schema, table] if database == CATALOG => {
                Some((schema.clone(), table.clone()))
            }
            [schema, table] => Some((schema.clone(), table.clone())),
            [table] => {
                let hidden = self.hidden.iter().flatten().any(|hidden| hidden == table);
                if hidden || is_pg_catalog_relation(table) {
                    return None;
                }
                let temporary = std::iter::once(TEMPORARY_SCHEMA);
                let path = temporary.chain(self.path.iter().map(String::as_str));
                let mut known = path.filter(|schema| self.view.has(schema, table));
                known
                    .next()
                    .map(|schema| (schema.to_owned(), table.clone()))
            }
            _ => None,
        }
    }

    /// The owner of a view reads what its query names.
    fn read_by_owner(&mut self, schema: &str, table: &str) -> Result<()> {
        let book = self.variables.authority.book();
        let owner = self.owner.clone().unwrap_or_default();
        let authorization = book.authorize(&owner, None)?;
        let owns = self
            .view
            .relation(schema, table)
            .is_some_and(|relation| authorize::owns(&authorization, &relation));
        let object = Object::table(schema, table);
        if authorization.superuser || owns || authorization.may(&book, Privilege::Select, &object) {
            self.through.insert((schema.to_owned(), table.to_owned()));
            return Ok(());
        }
        Err(authorize::denied("table", table))
    }

    /// The query of a view in place of its name.
    fn inlined(&mut self, view: &Relation, alias: Option<TableAlias>) -> Result<TableFactor> {
        if self.depth >= VIEW_DEPTH_MAX {
            return Err(
                Error::program_limit_exceeded("views stand on too many views")
                    .with_detail(format!("The limit is {VIEW_DEPTH_MAX}.")),
            );
        }
        let (mut query, columns) = frozen(view, view_query(view)?)?;
        let mut inner = Resolver {
            variables: self.variables,
            view: self.view,
            path: &view.search_path,
            default_schema: self.default_schema,
            owner: Some(view.owner.clone()),
            through: std::mem::take(&mut self.through),
            hidden: Vec::new(),
            taken: Vec::new(),
            depth: self.depth + 1,
        };
        if let ControlFlow::Break(error) = VisitMut::visit(&mut query, &mut inner) {
            return Err(error);
        }
        self.through = inner.through;
        let alias = alias.unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', view.name.clone()),
            columns: Vec::new(),
            at: None,
        });
        let given = alias.columns.len();
        let own = columns
            .into_iter()
            .skip(given)
            .map(|name| TableAliasColumnDef {
                name,
                data_type: None,
            });
        let named = alias.columns.iter().cloned().chain(own).collect();
        Ok(TableFactor::Derived {
            lateral: false,
            subquery: query,
            alias: Some(TableAlias {
                columns: named,
                ..alias
            }),
            sample: None,
        })
    }
}

/// The query of a view whose wildcards do not follow its tables: PostgreSQL gives a view the columns that
/// there were when it was made.
fn frozen(
    view: &Relation,
    (query, names): (Box<Query>, Vec<Ident>),
) -> Result<(Box<Query>, Vec<Ident>)> {
    let Some(columns) = view.columns.as_ref().filter(|_| has_wildcard(&query)) else {
        return Ok((query, names));
    };
    let own = columns.fields().iter();
    let own: Vec<Ident> = own
        .map(|field| Ident::with_quote('"', field.name()))
        .collect();
    let mut outer = plan::select_from(ObjectName::from(vec![Ident::new("t")]), &own)?;
    if let SetExpr::Select(select) = outer.body.as_mut() {
        for from in &mut select.from {
            let named = names.iter().map(|name| TableAliasColumnDef {
                name: name.clone(),
                data_type: None,
            });
            from.relation = TableFactor::Derived {
                lateral: false,
                subquery: query.clone(),
                alias: Some(TableAlias {
                    explicit: true,
                    name: Ident::with_quote('"', view.name.clone()),
                    columns: named.collect(),
                    at: None,
                }),
                sample: None,
            };
        }
    }
    Ok((Box::new(outer), Vec::new()))
}

/// Whether a query gives all columns of something.
fn has_wildcard(query: &Query) -> bool {
    struct Find;
    impl Visitor for Find {
        type Break = ();

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            let is_wildcard = |item: &SelectItem| {
                matches!(
                    item,
                    SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
                )
            };
            match select.projection.iter().any(is_wildcard) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(query, &mut Find).is_break()
}

/// The query of a view and the names of its columns where they were given.
pub(super) fn view_query(view: &Relation) -> Result<(Box<Query>, Vec<Ident>)> {
    let broken =
        || Error::data_corrupted(format!("the definition of view \"{}\" is lost", view.name));
    let text = view.definition.as_deref().ok_or_else(broken)?;
    let parsed = statement::parse(text)?
        .pop()
        .and_then(|parsed| parsed.statement);
    match parsed {
        Some(Statement::CreateView(create)) => {
            let query = Statement::Query(create.query);
            limits::check_statement(&query)?;
            let Statement::Query(query) = query else {
                return Err(broken());
            };
            let columns = create.columns.into_iter().map(|column| column.name);
            Ok((query, columns.collect()))
        }
        _ => Err(broken()),
    }
}

//! PostgreSQL's spellings that DataFusion does not plan, rewritten in the syntax tree without a
//! change of meaning: what clients send to read the catalog, and names of result columns.
//!
//! Call [`rewrite`] on every parsed statement before planning it; show a client the names of
//! result columns through [`output_name`].

mod absent;
mod aggregates;
mod alike;
mod build;
mod calls;
mod cast;
mod cron;
mod ctid;
mod literal;
mod operators;
mod ordered_input;
mod output;
mod records;
mod rows;
mod sets;
mod subquery;
mod system_columns;
mod time;
mod tuples;
pub mod whole_rows;
mod windows;
mod with_queries;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Query, Select, Statement, TableFactor, VisitMut, VisitorMut,
};

pub use self::output::{output_name, output_names, without_separators};

pub(in crate::engine) use self::build::{
    argument, cast, folded as name_of, null, number, parts as name_parts,
};
use self::build::{call, folded, function_name, join, parts, strip_pg_catalog, take};
pub(in crate::engine) use self::cron::{
    option_names as cron_option_names, parameters as cron_parameters,
};
use crate::catalog::functions::{is_catalog_function, needs_snapshot};
use crate::catalog::layout::{self, is_pg_catalog_relation};
use crate::catalog::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::error::{Error, Result};

/// What a rewrite found out about a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Whether it names a system relation or calls a function of the catalog: then the catalog's
    /// snapshot is to be refreshed before planning.
    pub uses_catalog: bool,
}

/// Rewrites a statement in place.
///
/// Names that are relations of pg_catalog are qualified with it, because PostgreSQL looks there
/// before it looks in the search path.
///
/// # Errors
/// 42704 for a collation other than default, C and POSIX, 0A000 for an operator that is spelled
/// `OPERATOR(…)` and not known.
pub fn rewrite(statement: &mut Statement) -> Result<Rewritten> {
    match statement {
        Statement::Query(query) => output::prepare(query),
        Statement::CreateView(view) if view.columns.is_empty() => {
            output::name_inner(&mut view.query, false);
        }
        Statement::CreateTable(table) => {
            if let Some(query) = &mut table.query {
                output::name_inner(query, false);
            }
        }
        _ => {}
    }
    let mut rewriter = Rewriter::default();
    match VisitMut::visit(statement, &mut rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(rewriter.found),
    }
}

#[derive(Default)]
struct Rewriter {
    found: Rewritten,
    /// Names of the WITH queries around the current place.
    with_names: Vec<Vec<String>>,
}

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let rewritten = operators::rewrite_fetch(query)
            .and_then(|()| sets::rewrite_multisets(&mut query.body))
            .and_then(|()| sets::select_instead_of_values(&mut query.body))
            .and_then(|()| with_queries::check(query));
        if let Err(error) = rewritten {
            return ControlFlow::Break(error);
        }
        sets::meet_in_values(&mut query.body);
        literal::protect_query(query);
        let mut names = Vec::new();
        if let Some(with) = &mut query.with {
            for table in &mut with.cte_tables {
                names.push(folded(&table.alias.name));
                if table.alias.columns.is_empty() {
                    output::name_inner(&mut table.query, false);
                }
            }
        }
        self.with_names.push(names);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        alike::separate(query);
        self.with_names.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        literal::protect_select(select);
        subquery::drop_unreachable(select);
        absent::drop_results(select);
        windows::write_out(select);
        sets::qualify_merged_columns(select);
        sets::merged_columns_first(select);
        ordered_input::keep(select);
        let memberships = match &mut select.selection {
            Some(condition) => tuples::rewrite_conditions(condition),
            None => Ok(()),
        };
        match memberships
            .and_then(|()| records::check_counts(select))
            .and_then(|()| rows::rewrite_from(select))
            .and_then(|()| sets::check_merged_columns(select))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        literal::release_select(select);
        system_columns::fill(select);
        subquery::count_instead_of_exists(select);
        output::separate_equal_items(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        records::rewrite_factor(factor);
        literal::protect_table_function(factor);
        match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            } => strip_pg_catalog(name),
            TableFactor::Derived {
                subquery,
                alias,
                lateral,
                ..
            } if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) => {
                output::name_inner(subquery, *lateral);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<Error> {
        match parts(name).as_deref() {
            Some([relation]) => {
                let shadowed = self
                    .with_names
                    .iter()
                    .flatten()
                    .any(|with| with == relation);
                if is_pg_catalog_relation(relation) && !shadowed {
                    name.0
                        .insert(0, ObjectNamePart::Identifier(Ident::new(PG_CATALOG)));
                    self.found.uses_catalog = true;
                }
            }
            Some([.., schema, _]) if [PG_CATALOG, INFORMATION_SCHEMA].contains(&&**schema) => {
                self.found.uses_catalog = true;
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Err(error) = rows::check_place(expr) {
            return ControlFlow::Break(error);
        }
        if let Err(error) = cron::rewrite(expr) {
            return ControlFlow::Break(error);
        }
        calls::cast_by_name(expr);
        ctid::rewrite(expr);
        // Before the cast inside is rewritten, which tells a transaction's number from a time.
        system_columns::rewrite_age(expr);
        subquery::rewrite_array_of_elements(expr);
        if let Expr::Function(function) = expr {
            literal::protect_function(function);
        }
        literal::rewrite_cast(expr);
        match literal::rewrite_negative(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match self
            .rewrite_expr(expr)
            .and_then(|()| operators::rewrite(expr))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Rewriter {
    fn rewrite_expr(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Value(_) => literal::rewrite(expr)?,
            Expr::Collate {
                expr: operand,
                collation,
            } => {
                check_collation(collation)?;
                *expr = take(operand);
            }
            Expr::BinaryOp { left, op, right } => match tuples::comparison(left, op, right) {
                Some(compared) => *expr = compared,
                None => rewrite_operator(expr)?,
            },
            Expr::InList {
                expr: row,
                list,
                negated,
            } => {
                if let Some(compared) = tuples::membership(row, list, *negated) {
                    *expr = compared;
                }
            }
            Expr::Identifier(ident) => {
                if ident.quote_style.is_none()
                    && matches!(folded(ident).as_str(), "current_schema" | "current_role")
                {
                    self.found.uses_catalog = true;
                    *expr = call(&folded(ident), Vec::new());
                }
            }
            Expr::CompoundIdentifier(idents) => {
                // `pg_catalog.pg_class.oid` is `pg_class.oid`; one form is enough below.
                if idents.len() == 3 && idents.first().map(folded).as_deref() == Some(PG_CATALOG) {
                    idents.remove(0);
                }
            }
            Expr::Function(function) => {
                literal::release_function(function);
                strip_pg_catalog(&mut function.name);
                cast::show_names(function);
                let name = function_name(function);
                self.found.uses_catalog |= needs_snapshot(&name);
                if matches!(function.args, FunctionArguments::None) && is_catalog_function(&name) {
                    function.args = FunctionArguments::List(FunctionArgumentList {
                        duplicate_treatment: None,
                        args: Vec::new(),
                        clauses: Vec::new(),
                    });
                }
                records::rewrite_function(expr);
                if name == "pg_typeof"
                    && let Expr::Function(function) = expr
                {
                    cast::keep_unknown(function);
                }
                if name == "make_interval"
                    && let Expr::Function(function) = expr
                {
                    time::rewrite_make_interval(function)?;
                }
                subquery::rewrite_array(expr);
                rows::rewrite_call(expr)?;
                calls::rewrite(expr);
                aggregates::rewrite(expr)?;
            }
            Expr::InSubquery { .. } => tuples::rewrite_membership(expr)?,
            Expr::CompoundFieldAccess { .. } => records::rewrite_access(expr),
            Expr::Cast { .. } => {
                cast::rewrite(expr);
                time::rewrite_cast(expr);
                if let Expr::Function(function) = expr {
                    self.found.uses_catalog |= needs_snapshot(&function_name(function));
                }
            }
            Expr::Interval(_) | Expr::AtTimeZone { .. } => time::rewrite(expr)?,
            Expr::TypedString(_) => time::rewrite_typed(expr),
            Expr::Subquery(_) => subquery::rewrite_scalar(expr),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                if let Expr::Nested(inner) = right.as_mut() {
                    **right = take(inner);
                }
                if let Some(array) = cast::array_constant(right, None) {
                    **right = array;
                }
                operators::rewrite_quantified(expr);
            }
            Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => rewrite_like_any(expr),
            _ => {}
        }
        Ok(())
    }
}

/// Strings here compare by bytes, which is what these collations say; any other would be a lie.
fn check_collation(collation: &ObjectName) -> Result<()> {
    let mut name = collation.clone();
    strip_pg_catalog(&mut name);
    let bare = parts(&name).and_then(|mut parts| if parts.len() == 1 { parts.pop() } else { None });
    let quoted = collation.0.last().and_then(ObjectNamePart::as_ident);
    let quoted = quoted.is_some_and(|ident| ident.quote_style.is_some());
    match bare.as_deref() {
        Some("default") => Ok(()),
        Some("C" | "POSIX") if quoted => Ok(()),
        _ => {
            let shown = collation.to_string().replace('"', "");
            let message = format!("collation \"{shown}\" for encoding \"UTF8\" does not exist");
            Err(Error::undefined_object(message)
                .with_hint("Text is compared by its bytes, as with COLLATE \"C\"."))
        }
    }
}

/// `a OPERATOR(pg_catalog.~) b`, `'{…}'` beside an array column, and names beside `||`.
fn rewrite_operator(expr: &mut Expr) -> Result<()> {
    let Expr::BinaryOp { left, op, right } = expr else {
        return Ok(());
    };
    if let BinaryOperator::PGCustomBinaryOperator(spelled) = op {
        *op = operator(spelled)?;
    }
    match op {
        BinaryOperator::Overlaps => return time::rewrite_overlaps(expr),
        BinaryOperator::StringConcat => {
            cast::name_instead_of_oid(left);
            cast::name_instead_of_oid(right);
        }
        BinaryOperator::Eq | BinaryOperator::NotEq => {
            if let Some(array) = array_beside(left, right) {
                **right = array;
            } else if let Some(array) = array_beside(right, left) {
                **left = array;
            }
        }
        _ => {}
    }
    Ok(())
}

fn operator(spelled: &[String]) -> Result<BinaryOperator> {
    let symbol = match spelled {
        [symbol] => symbol,
        [schema, symbol] if schema.eq_ignore_ascii_case(PG_CATALOG) => symbol,
        _ => return Err(unknown_operator(spelled)),
    };
    Ok(match symbol.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "&&" => BinaryOperator::PGOverlap,
        _ => return Err(unknown_operator(spelled)),
    })
}

fn unknown_operator(spelled: &[String]) -> Error {
    Error::feature_not_supported(format!("operator {} is not supported", spelled.join(".")))
}

/// The array that a constant means beside a column of pg_catalog that holds arrays.
fn array_beside(column: &Expr, constant: &Expr) -> Option<Expr> {
    let name = match column {
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(idents) => folded(idents.last()?),
        _ => return None,
    };
    let element = match layout::array_element(&name)? {
        "oid" => DataType::IntUnsigned(None),
        "int2" => DataType::SmallInt(None),
        _ => DataType::Text,
    };
    cast::array_constant(constant, Some(&element))
}

/// `x LIKE ANY (ARRAY[a, b])` is `x LIKE a OR x LIKE b`; arrays that are not written out stay.
fn rewrite_like_any(expr: &mut Expr) {
    let (Expr::Like { pattern, .. } | Expr::ILike { pattern, .. }) = &mut *expr else {
        return;
    };
    if let Some(array) = cast::array_constant(pattern, None) {
        **pattern = array;
    }
    let patterns = match pattern.as_ref() {
        Expr::Array(array) => array.elem.clone(),
        Expr::Tuple(items) => items.clone(),
        Expr::Nested(inner) => match inner.as_ref() {
            Expr::Array(array) => array.elem.clone(),
            other => vec![other.clone()],
        },
        _ => return,
    };
    let single = |item: Expr| {
        let mut like = expr.clone();
        if let Expr::Like { any, pattern, .. } | Expr::ILike { any, pattern, .. } = &mut like {
            *any = false;
            **pattern = item;
        }
        Expr::Nested(Box::new(like))
    };
    if let Some(all) = join(
        &BinaryOperator::Or,
        patterns.into_iter().map(single).collect(),
    ) {
        *expr = Expr::Nested(Box::new(all));
    }
}

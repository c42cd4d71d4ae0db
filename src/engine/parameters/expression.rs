//! Expressions: the type of each, and the types that its parameters take from it.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, Expr, Function, FunctionArgumentClause,
    FunctionArguments, Ident, NamedWindowDefinition, NamedWindowExpr, OrderByExpr, Query,
    Subscript, UnaryOperator, Value, WindowFrameBound, WindowSpec, WindowType,
};

use super::query::argument;
use super::resolution::{self, Choice, OPAQUE, Oid, array_of, common, element_of};
use super::{Analysis, folded, last_part, number, type_name};
use crate::catalog::type_oids::{
    BOOL, DATE, INT4, INT8, INTERVAL, NAME, NUMERIC, TEXT, TIME, TIMESTAMP, TIMESTAMPTZ, UNKNOWN,
};
use crate::error::{Error, Result};
use crate::sqlstate::SqlState;

impl<'a> Analysis<'a> {
    /// Analyses an expression and gives it the type that its place needs.
    pub(super) fn expect(&mut self, expr: &'a Expr, wanted: Oid) -> Result<()> {
        let found = self.expr(expr)?;
        self.coerce(expr, found, wanted)
    }

    /// The type of an expression.
    pub(super) fn expr(&mut self, expr: &'a Expr) -> Result<Oid> {
        match expr {
            Expr::Identifier(ident) => Ok(self.identifier(ident)),
            Expr::CompoundIdentifier(idents) => Ok(self.compound(idents)),
            Expr::Value(value) => Ok(self.value(&value.value)),
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => self.expr(inner),
            Expr::TypedString(typed) => Ok(super::oid_of(&typed.data_type).unwrap_or(OPAQUE)),
            Expr::Interval(_) => Ok(INTERVAL),
            Expr::Cast {
                expr, data_type, ..
            } => {
                let to = super::oid_of(data_type).unwrap_or(OPAQUE);
                self.expect(expr, to)?;
                Ok(to)
            }
            Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => {
                self.expect(inner, BOOL)?;
                Ok(BOOL)
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                self.expr(inner)?;
                Ok(BOOL)
            }
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { .. }
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::SimilarTo { .. }
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. } => self.comparison(expr),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            Expr::Function(function) => self.function(function),
            Expr::Subquery(query) => self.scalar(query),
            Expr::Exists { subquery, .. } => {
                self.subquery(subquery)?;
                Ok(BOOL)
            }
            Expr::Array(array) => {
                let elements: Vec<&Expr> = array.elem.iter().collect();
                Ok(array_of(self.branches(&elements)?))
            }
            Expr::Tuple(items) => {
                for item in items {
                    self.expr(item)?;
                }
                Ok(OPAQUE)
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            _ => self.spelled_function(expr),
        }
    }

    fn identifier(&mut self, ident: &Ident) -> Oid {
        let name = folded(ident);
        match keyword(&name).filter(|_| ident.quote_style.is_none()) {
            Some(oid) => oid,
            None => self.column(None, &name),
        }
    }

    fn compound(&mut self, idents: &[Ident]) -> Oid {
        match idents {
            [.., table, column] => self.column(Some(&folded(table)), &folded(column)),
            _ => OPAQUE,
        }
    }

    fn value(&mut self, value: &Value) -> Oid {
        match value {
            Value::Number(digits, _) => {
                if digits.parse::<i32>().is_ok() {
                    INT4
                } else if digits.parse::<i64>().is_ok() {
                    INT8
                } else {
                    NUMERIC
                }
            }
            Value::Boolean(_) => BOOL,
            Value::Placeholder(name) => number(name)
                .and_then(|number| self.types.get(number - 1))
                .copied()
                .unwrap_or(OPAQUE),
            _ => UNKNOWN,
        }
    }

    fn unary(&mut self, op: UnaryOperator, operand: &'a Expr) -> Result<Oid> {
        if op == UnaryOperator::Not {
            self.expect(operand, BOOL)?;
            return Ok(BOOL);
        }
        let found = self.expr(operand)?;
        let name = op.to_string();
        match resolution::unary(&name, found) {
            Choice::One(types, result) => {
                self.coerce(operand, found, types[0])?;
                Ok(result)
            }
            Choice::Ambiguous if is_parameter(operand) => {
                Err(not_unique(&format!("{name} {}", type_name(found))))
            }
            _ => {
                self.has_gaps = true;
                Ok(OPAQUE)
            }
        }
    }

    fn comparison(&mut self, expr: &'a Expr) -> Result<Oid> {
        match expr {
            Expr::BinaryOp { left, op, right } => self.binary_op(left, op, right),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.operator(left, "=", right)
            }
            Expr::Between {
                expr, low, high, ..
            } => {
                self.operator(expr, ">=", low)?;
                self.operator(expr, "<=", high)
            }
            Expr::Like {
                expr,
                pattern,
                any: false,
                ..
            } => self.operator(expr, "~~", pattern),
            Expr::ILike {
                expr,
                pattern,
                any: false,
                ..
            } => self.operator(expr, "~~*", pattern),
            Expr::Like { expr, pattern, .. } => self.quantified(expr, "~~", pattern),
            Expr::ILike { expr, pattern, .. } => self.quantified(expr, "~~*", pattern),
            Expr::SimilarTo { expr, pattern, .. } => {
                self.expect(pattern, TEXT)?;
                self.expect(expr, TEXT)?;
                Ok(BOOL)
            }
            Expr::InList { expr, list, .. } => self.in_list(expr, list),
            Expr::InSubquery { expr, subquery, .. } => self.in_subquery(expr, "=", subquery),
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            }
            | Expr::AllOp {
                left,
                compare_op,
                right,
            } => self.quantified(left, &spelling(compare_op), right),
            _ => Ok(OPAQUE),
        }
    }

    fn binary_op(&mut self, left: &'a Expr, op: &BinaryOperator, right: &'a Expr) -> Result<Oid> {
        if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
            // A chain is walked by its left side, which may be long.
            self.expect(left, BOOL)?;
            self.expect(right, BOOL)?;
            return Ok(BOOL);
        }
        if let (Expr::Tuple(left), Expr::Tuple(right)) = (left, right) {
            for (left, right) in left.iter().zip(right) {
                self.operator(left, &spelling(op), right)?;
            }
            return Ok(BOOL);
        }
        self.operator(left, &spelling(op), right)
    }

    /// An operator between two expressions.
    fn operator(&mut self, left: &'a Expr, name: &str, right: &'a Expr) -> Result<Oid> {
        let (of_left, of_right) = (self.expr(left)?, self.expr(right)?);
        match resolution::binary(name, of_left, of_right) {
            Choice::One(types, result) => {
                self.coerce(left, of_left, types[0])?;
                self.coerce(right, of_right, types[1])?;
                Ok(result)
            }
            Choice::Ambiguous if is_parameter(left) || is_parameter(right) => Err(not_unique(
                &format!("{} {name} {}", type_name(of_left), type_name(of_right)),
            )),
            _ => {
                self.has_gaps = true;
                Ok(match name {
                    "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=" | "~~" | "~~*" | "!~~" | "!~~*"
                    | "~" | "~*" | "!~" | "!~*" => BOOL,
                    _ => OPAQUE,
                })
            }
        }
    }

    /// `left op ANY (right)`: the right side is an array or a query.
    fn quantified(&mut self, left: &'a Expr, name: &str, right: &'a Expr) -> Result<Oid> {
        match right {
            Expr::Nested(inner) => return self.quantified(left, name, inner),
            Expr::Subquery(query) => return self.in_subquery(left, name, query),
            _ => {}
        }
        let (of_left, of_right) = (self.expr(left)?, self.expr(right)?);
        match resolution::binary(name, of_left, element_of(of_right)) {
            Choice::One(types, _) => {
                self.coerce(left, of_left, types[0])?;
                self.coerce(right, of_right, array_of(types[1]))?;
            }
            _ => self.has_gaps = true,
        }
        Ok(BOOL)
    }

    fn in_list(&mut self, expr: &'a Expr, list: &'a [Expr]) -> Result<Oid> {
        if let Expr::Tuple(items) = expr {
            for row in list {
                if let Expr::Tuple(values) = row {
                    for (item, value) in items.iter().zip(values) {
                        self.operator(item, "=", value)?;
                    }
                }
            }
            return Ok(BOOL);
        }
        if let [only] = list {
            return self.operator(expr, "=", only);
        }
        // Several values take one type together with what they are compared with.
        let mut all = vec![expr];
        all.extend(list.iter());
        let found = all
            .iter()
            .map(|expr| self.expr(expr))
            .collect::<Result<Vec<_>>>()?;
        match common(&found).map(|oid| resolution::binary("=", oid, oid)) {
            Some(Choice::One(types, _)) => {
                for (expr, found) in all.into_iter().zip(found) {
                    self.coerce(expr, found, types[0])?;
                }
            }
            _ => self.has_gaps = true,
        }
        Ok(BOOL)
    }

    fn in_subquery(&mut self, left: &'a Expr, name: &str, query: &'a Query) -> Result<Oid> {
        let items: Vec<&Expr> = match left {
            Expr::Tuple(items) => items.iter().collect(),
            one => vec![one],
        };
        let found = items
            .iter()
            .map(|item| self.expr(item))
            .collect::<Result<Vec<_>>>()?;
        let columns = self.subquery(query)?;
        for ((item, found), (_, column)) in items.into_iter().zip(found).zip(columns) {
            match resolution::binary(name, found, column) {
                Choice::One(types, _) => self.coerce(item, found, types[0])?,
                _ => self.has_gaps = true,
            }
        }
        Ok(BOOL)
    }

    fn scalar(&mut self, query: &'a Query) -> Result<Oid> {
        let columns = self.subquery(query)?;
        Ok(columns.first().map_or(OPAQUE, |(_, oid)| *oid))
    }

    /// The one type of several branches.
    fn branches(&mut self, exprs: &[&'a Expr]) -> Result<Oid> {
        let found = exprs
            .iter()
            .map(|expr| self.expr(expr))
            .collect::<Result<Vec<_>>>()?;
        let mut oid = common(&found).unwrap_or(OPAQUE);
        if oid == UNKNOWN {
            oid = TEXT;
        }
        for (expr, found) in exprs.iter().zip(found) {
            self.coerce(expr, found, oid)?;
        }
        Ok(oid)
    }

    fn case(
        &mut self,
        operand: Option<&'a Expr>,
        conditions: &'a [CaseWhen],
        otherwise: Option<&'a Expr>,
    ) -> Result<Oid> {
        match operand {
            Some(operand) => {
                // PostgreSQL takes an open operand for text before it looks at the conditions.
                let found = self.expr(operand)?;
                self.coerce(operand, found, TEXT)?;
                for case in conditions {
                    self.operator(operand, "=", &case.condition)?;
                }
            }
            None => {
                for case in conditions {
                    self.expect(&case.condition, BOOL)?;
                }
            }
        }
        // The ELSE comes first where the types are weighed.
        let results = conditions.iter().map(|case| &case.result);
        let results: Vec<&Expr> = otherwise.into_iter().chain(results).collect();
        self.branches(&results)
    }

    fn access(&mut self, root: &'a Expr, chain: &'a [AccessExpr]) -> Result<Oid> {
        let mut oid = self.expr(root)?;
        for access in chain {
            match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    self.expect(index, INT4)?;
                    oid = element_of(oid);
                }
                AccessExpr::Subscript(Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    ..
                }) => {
                    for bound in [lower_bound, upper_bound].into_iter().flatten() {
                        self.expect(bound, INT4)?;
                    }
                }
                AccessExpr::Dot(_) => {
                    self.has_gaps = true;
                    oid = OPAQUE;
                }
            }
        }
        Ok(oid)
    }

    /// Functions that SQL spells in a way of their own.
    fn spelled_function(&mut self, expr: &'a Expr) -> Result<Oid> {
        match expr {
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => self.call("timezone", &[time_zone, timestamp]),
            Expr::Extract { expr, .. } => {
                let found = self.expr(expr)?;
                let choice = resolution::call(&resolution::functions("extract"), &[TEXT, found]);
                if let Choice::One(types, _) = choice {
                    self.coerce(expr, found, types[1])?;
                }
                Ok(NUMERIC)
            }
            Expr::Ceil { expr, .. } => self.call("ceil", &[expr]),
            Expr::Floor { expr, .. } => self.call("floor", &[expr]),
            Expr::Position { expr, r#in } => self.call("position", &[r#in, expr]),
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                shorthand,
                ..
            } => {
                let mut args: Vec<&Expr> = vec![expr];
                args.extend(substring_from.as_deref());
                args.extend(substring_for.as_deref());
                self.call(if *shorthand { "substr" } else { "substring" }, &args)
            }
            Expr::Trim {
                expr, trim_what, ..
            } => {
                let mut args: Vec<&Expr> = vec![expr];
                args.extend(trim_what.as_deref());
                self.call("ltrim", &args)
            }
            Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut args: Vec<&Expr> = vec![expr, overlay_what, overlay_from];
                args.extend(overlay_for.as_deref());
                self.call("overlay", &args)
            }
            _ => {
                self.has_gaps = true;
                Ok(OPAQUE)
            }
        }
    }

    fn function(&mut self, function: &'a Function) -> Result<Oid> {
        let name = last_part(&function.name);
        let list = match &function.args {
            FunctionArguments::Subquery(query) => {
                let oid = self.scalar(query)?;
                return Ok(if name == "array" {
                    array_of(oid)
                } else {
                    OPAQUE
                });
            }
            FunctionArguments::List(list) => Some(list),
            FunctionArguments::None => match keyword(&name) {
                Some(oid) => return Ok(oid),
                None => None,
            },
        };
        let args: Vec<&Expr> = list
            .iter()
            .flat_map(|list| &list.args)
            .filter_map(argument)
            .collect();
        for clause in list.iter().flat_map(|list| &list.clauses) {
            if let FunctionArgumentClause::OrderBy(items) = clause {
                self.order(items)?;
            }
        }
        let result = match name.as_str() {
            "coalesce" | "greatest" | "least" => self.branches(&args)?,
            "nullif" => match args[..] {
                [left, right] => {
                    let oid = self.expr(left)?;
                    self.operator(left, "=", right)?;
                    if oid == UNKNOWN { TEXT } else { oid }
                }
                _ => OPAQUE,
            },
            _ if !function.within_group.is_empty() => self.within_group(&name, &args, function)?,
            _ => self.call(&name, &args)?,
        };
        if let Some(filter) = &function.filter {
            self.expect(filter, BOOL)?;
        }
        if let Some(WindowType::WindowSpec(window)) = &function.over {
            self.window(window)?;
        }
        Ok(result)
    }

    /// A call of a function by its name.
    pub(super) fn call(&mut self, name: &str, args: &[&'a Expr]) -> Result<Oid> {
        let found = args
            .iter()
            .map(|arg| self.expr(arg))
            .collect::<Result<Vec<_>>>()?;
        match resolution::call(&self.own.forms(name), &found) {
            Choice::One(types, result) => {
                for ((arg, found), wanted) in args.iter().zip(&found).zip(types) {
                    self.coerce(arg, *found, wanted)?;
                }
                Ok(result)
            }
            Choice::Ambiguous if args.iter().any(|arg| is_parameter(arg)) => {
                let types: Vec<_> = found.iter().map(|oid| type_name(*oid)).collect();
                let call = format!("function {name}({}) is not unique", types.join(", "));
                Err(ambiguous(call, "function"))
            }
            _ => {
                self.has_gaps = true;
                Ok(OPAQUE)
            }
        }
    }

    fn within_group(
        &mut self,
        name: &str,
        args: &[&'a Expr],
        function: &'a Function,
    ) -> Result<Oid> {
        let mut all = args.to_vec();
        all.extend(function.within_group.iter().map(|item| &item.expr));
        self.call(name, &all)
    }

    fn order(&mut self, items: &'a [OrderByExpr]) -> Result<()> {
        items
            .iter()
            .try_for_each(|item| self.expr(&item.expr).map(|_| ()))
    }

    fn window(&mut self, window: &'a WindowSpec) -> Result<()> {
        for expr in &window.partition_by {
            self.expr(expr)?;
        }
        self.order(&window.order_by)?;
        let Some(frame) = &window.window_frame else {
            return Ok(());
        };
        for bound in [Some(&frame.start_bound), frame.end_bound.as_ref()]
            .into_iter()
            .flatten()
        {
            if let WindowFrameBound::Preceding(Some(rows))
            | WindowFrameBound::Following(Some(rows)) = bound
            {
                self.expect(rows, INT8)?;
            }
        }
        Ok(())
    }

    pub(super) fn named_window(&mut self, window: &'a NamedWindowDefinition) -> Result<()> {
        match &window.1 {
            NamedWindowExpr::WindowSpec(spec) => self.window(spec),
            NamedWindowExpr::NamedWindow(_) => Ok(()),
        }
    }
}

/// The type of what is called without parentheses.
fn keyword(name: &str) -> Option<Oid> {
    Some(match name {
        "current_date" => DATE,
        "current_timestamp" => TIMESTAMPTZ,
        "localtimestamp" => TIMESTAMP,
        "localtime" => TIME,
        "current_user" | "session_user" | "user" | "current_role" | "current_catalog"
        | "current_schema" => NAME,
        _ => return None,
    })
}

/// The operator as PostgreSQL's catalog names it.
fn spelling(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::NotEq => "<>".to_owned(),
        other => other.to_string(),
    }
}

fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_parameter(inner),
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        _ => false,
    }
}

fn not_unique(operator: &str) -> Error {
    ambiguous(format!("operator is not unique: {operator}"), "operator")
}

fn ambiguous(message: String, what: &str) -> Error {
    Error::new(SqlState::AmbiguousFunction, message).with_hint(format!(
        "Could not choose a best candidate {what}. You might need to add explicit type casts."
    ))
}

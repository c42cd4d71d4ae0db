//! Windows of a name: what `OVER (w ORDER BY x)` inherits from `WINDOW w AS (…)` is written out.

use datafusion::sql::sqlparser::ast::{
    Expr, NamedWindowDefinition, NamedWindowExpr, OrderByExpr, Select, SelectItem, SetExpr,
    WindowSpec, WindowType,
};
use std::collections::HashMap;

use super::build::{Order, folded, template, visit_own};

/// Writes out the windows that extend a named one.
pub(super) fn write_out(select: &mut Select) {
    if select.named_window.is_empty() {
        return;
    }
    let mut named: HashMap<String, WindowSpec> = HashMap::new();
    for NamedWindowDefinition(name, definition) in &select.named_window {
        let spec = match definition {
            NamedWindowExpr::WindowSpec(spec) => inherited(spec, &named),
            NamedWindowExpr::NamedWindow(other) => match named.get(&folded(other)) {
                Some(spec) => spec.clone(),
                None => continue,
            },
        };
        named.insert(folded(name), spec);
    }
    for NamedWindowDefinition(name, definition) in &mut select.named_window {
        if let Some(spec) = named.get(&folded(name)) {
            *definition = NamedWindowExpr::WindowSpec(spec.clone());
        }
    }
    visit_own(&mut select.projection, Order::Before, |expr| {
        if let Expr::Function(function) = expr
            && let Some(WindowType::WindowSpec(spec)) = &mut function.over
            && spec.window_name.is_some()
        {
            *spec = inherited(spec, &named);
        }
    });
}

/// The window with what it leaves out taken from the one it names.
fn inherited(spec: &WindowSpec, named: &HashMap<String, WindowSpec>) -> WindowSpec {
    let mut spec = spec.clone();
    let base = spec
        .window_name
        .as_ref()
        .and_then(|name| named.get(&folded(name)));
    if let Some(base) = base {
        spec.window_name = None;
        spec.partition_by.clone_from(&base.partition_by);
        if spec.order_by.is_empty() {
            spec.order_by.clone_from(&base.order_by);
        }
    }
    spec
}

/// `name() OVER (ORDER BY keys)`
fn over(sql: &str, keys: Vec<OrderByExpr>) -> Option<Expr> {
    let mut query = template(sql).ok()?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    match select.projection.pop() {
        Some(SelectItem::UnnamedExpr(Expr::Function(mut function))) => {
            if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                spec.order_by = keys;
            }
            Some(Expr::Function(function))
        }
        _ => None,
    }
}

/// `rank() OVER (ORDER BY keys)`
pub(super) fn rank(keys: Vec<OrderByExpr>) -> Option<Expr> {
    over("SELECT rank() OVER (ORDER BY 1)", keys)
}

/// `row_number() OVER (ORDER BY keys)`
pub(super) fn row_number(keys: Vec<OrderByExpr>) -> Option<Expr> {
    over("SELECT row_number() OVER (ORDER BY 1)", keys)
}

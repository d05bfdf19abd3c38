//! The types of parameters where the planner leaves them open: clients that ask for them encode their values by what they are told.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, ExprSchemable as _, LogicalPlan};

/// The plan with a type for each parameter whose place has one: `LIMIT $1`, `OFFSET $1`, `= ANY($1)`, `CASE WHEN $1`; what is only shown is text, as
/// in PostgreSQL.
#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum: other nodes say nothing of a type")]
pub(super) fn with_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let typed = plan.transform_down_with_subqueries(|node| {
        let kind = match &node {
            LogicalPlan::Limit(_) => Some(DataType::Int64),
            LogicalPlan::Projection(_) => Some(DataType::Utf8),
            _ => None,
        };
        let schema = inputs(&node)?;
        node.map_expressions(|expression| {
            let expression = if let (Expr::Placeholder(open), Some(kind)) = (&expression, kind.clone()) {
                Expr::Placeholder(typed(open.clone(), kind))
            } else {
                expression
            };
            expression.transform_down(|inner| in_its_place(inner, &schema))
        })
    })?;
    // Above a node whose columns have types now, others may have them too.
    typed.data.recompute_schema()
}

/// What a node's expressions are about.
fn inputs(node: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = DFSchema::empty();
    node.inputs().iter().for_each(|input| schema.merge(input.schema()));
    Ok(schema)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum: other places say nothing of a type")]
fn in_its_place(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expression {
        Expr::ScalarFunction(mut call) if call.name() == "array_has" => {
            if let [list, value] = call.args.as_mut_slice()
                && let Expr::Placeholder(open) = &*list
                && let Ok(kind) = value.get_type(schema)
            {
                *list = Expr::Placeholder(typed(open.clone(), DataType::new_list(kind, true)));
            }
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        Expr::Case(mut case) if case.expr.is_none() => {
            for (when, _) in &mut case.when_then_expr {
                if let Expr::Placeholder(open) = &**when {
                    **when = Expr::Placeholder(typed(open.clone(), DataType::Boolean));
                }
            }
            Ok(Transformed::yes(Expr::Case(case)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A parameter that has no type yet, with this one.
fn typed(open: Placeholder, kind: DataType) -> Placeholder {
    let field = open.field.or_else(|| Some(Arc::new(Field::new(&open.id, kind, true))));
    Placeholder { id: open.id, field }
}

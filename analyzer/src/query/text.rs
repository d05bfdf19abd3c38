//! What a text of SQL may ask before it is parsed, and which functions nobody may call: a query must not bring the process down.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Longest text, in bytes.
const BYTES_MAX: usize = 64 << 10;
/// Most operators, `AND`s, joins and set operations together: each may lie within the one before, and what walks over them goes as deep.
const LINKS_MAX: usize = 400;
/// Most statements in one text: all their answers are in memory together.
const STATEMENTS_MAX: usize = 20;
/// Deepest parentheses.
const DEPTH_MAX: usize = 40;

/// Words that join what stands around them.
const LINKING: [Keyword; 13] = [
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::UNION,
    Keyword::EXCEPT,
    Keyword::INTERSECT,
    Keyword::JOIN,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::ILIKE,
    Keyword::CASE,
    Keyword::EXPLAIN,
    Keyword::BETWEEN,
];

/// Functions whose answers can be of any size whatever they are given, or that take the square of it in time.
const KEPT_OUT: [&str; 10] =
    ["repeat", "lpad", "rpad", "array_repeat", "list_repeat", "array_resize", "list_resize", "range", "generate_series", "levenshtein"];

/// Checks a text.
///
/// # Errors
/// Says in words what there is too much of.
pub fn check_text(text: &str) -> Result<(), String> {
    if text.len() > BYTES_MAX {
        return Err(format!("the text has {} bytes, at most {BYTES_MAX} are taken", text.len()));
    }
    // What cannot be cut into tokens cannot be parsed either, and is told of there.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return Ok(()) };
    let (mut links, mut depth, mut deepest) = (0_usize, 0_usize, 0_usize);
    for token in &tokens {
        if matches!(token, Token::LParen | Token::LBracket) {
            depth += 1;
            deepest = deepest.max(depth);
        } else if matches!(token, Token::RParen | Token::RBracket) {
            depth = depth.saturating_sub(1);
        } else if is_link(token) {
            links += 1;
        }
    }
    let statements = tokens.iter().filter(|token| **token == Token::SemiColon).count();
    if statements > STATEMENTS_MAX {
        return Err(format!("it has {statements} statements, at most {STATEMENTS_MAX} are taken"));
    }
    if links > LINKS_MAX {
        return Err(format!("it has {links} operators and joins, at most {LINKS_MAX} are taken: use IN, VALUES or a function"));
    }
    if deepest > DEPTH_MAX {
        return Err(format!("its parentheses are {deepest} deep, at most {DEPTH_MAX} are taken"));
    }
    Ok(())
}

/// Whether it joins what stands around it. What is no name, value, space or mark between values is an operator.
fn is_link(token: &Token) -> bool {
    if let Token::Word(found) = token {
        return LINKING.contains(&found.keyword);
    }
    let value = matches!(token, Token::Number(..) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) | Token::Placeholder(_));
    let mark = matches!(token, Token::Whitespace(_) | Token::Comma | Token::Period | Token::SemiColon | Token::EOF);
    !value && !mark
}

/// The joins in a plan that would not let go of their threads for as long as they take: no deadline ends them.
pub fn unbounded_joins(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut found = Vec::new();
    let _ = plan.apply(|node| {
        if matches!(node.name(), "CrossJoinExec" | "NestedLoopJoinExec") {
            found.push(node.name().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Says that such a join is not allowed, and what to do.
pub fn join_refusal(join: &str) -> String {
    format!(
        "this joins every row with every row ({join}), which is not allowed here: join on something equal, or use UNION ALL or a window"
    )
}

/// Takes the functions away that nobody may call.
pub(super) fn keep_out(session: &SessionContext) {
    for name in KEPT_OUT {
        session.deregister_udf(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_goes_too_deep_is_refused_and_a_long_list_is_not() {
        let sum = |terms: usize| format!("SELECT {}", vec!["1"; terms].join("+"));
        assert!(check_text(&sum(300)).is_ok() && check_text(&sum(1_000)).unwrap_err().contains("operators"));
        let list = format!("SELECT * FROM red WHERE service_name IN ({})", vec!["'payment'"; 4_000].join(", "));
        assert!(check_text(&list).is_ok());
        assert!(check_text(&format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60))).unwrap_err().contains("deep"));
        assert!(check_text(&format!("SELECT '{}'", "x".repeat(70_000))).unwrap_err().contains("bytes"));
        assert!(check_text(&"NOT ".repeat(500)).is_err() && check_text(&"~".repeat(1_000)).is_err());
        assert!(check_text(&"SELECT 1;".repeat(30)).unwrap_err().contains("statements"));
        assert!(check_text("SELECT '+++---' || \"a+b\" -- + + +").is_ok());
    }
}

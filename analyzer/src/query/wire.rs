//! Sessions for people's SQL over other doors: views over the telemetry in types that every client knows, and nothing else.
//!
//! Always holds: the tables beneath are not registered, so only the views can be named; what such a session holds in memory is bounded by a pool of its own.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider as _, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SessionConfig;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;
use haldane_store::TableName;

use super::quantile::duration_quantile;
use super::{Engine, QueryError};

/// The catalog and the schema of the views.
pub const SCHEMA: &str = "haldane";

impl Engine {
    /// A session with views over all telemetry, and these tables beside them.
    ///
    /// # Errors
    /// When DataFusion cannot be set up.
    pub async fn wire_session(
        &self,
        tables: Vec<(&'static str, Arc<dyn TableProvider>)>,
        memory_bytes_max: usize,
    ) -> Result<SessionContext, QueryError> {
        self.build(tables, memory_bytes_max).await.map_err(|source| QueryError::Failed { source: Box::new(source) })
    }

    async fn build(&self, tables: Vec<(&'static str, Arc<dyn TableProvider>)>, memory_bytes_max: usize) -> Result<SessionContext> {
        let pool = Arc::new(FairSpillPool::new(memory_bytes_max));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(SCHEMA, SCHEMA)
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let session = SessionContext::new_with_config_rt(config, runtime);
        for udf in [attributes_json(), current_setting(), constant("version", Some(VERSION)), constant("pg_advisory_unlock_all", None)] {
            session.register_udf(udf.clone());
            self.session.register_udf(udf);
        }
        let bins = datafusion::functions::datetime::date_bin();
        session.register_udf(bins.as_ref().clone().with_aliases(["time_bucket"]));
        session.register_udaf(duration_quantile());
        super::text::keep_out(&session);
        let schema = MemorySchemaProvider::new();
        for table in TableName::ALL {
            let plan = self.session.sql(&view_of(table)).await?.into_unoptimized_plan();
            schema.register_table(table.as_str().to_owned(), Arc::new(ViewTable::new(plan, None)))?;
        }
        for (name, table) in tables {
            schema.register_table(name.to_owned(), table)?;
        }
        let catalog = session.catalog(SCHEMA).ok_or_else(|| DataFusionError::Internal("the session has its catalog".to_owned()))?;
        catalog.register_schema(SCHEMA, Arc::new(schema))?;
        Ok(session)
    }
}

/// All columns, attributes as JSON; roll-ups with the environment's name.
fn view_of(table: TableName) -> String {
    let columns = table.schema();
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let name = field.name();
        // Clients know lists of numbers, no maps and no lists of more than values.
        let kind = field.data_type();
        let nested = if let DataType::List(item) = kind { item.data_type().is_nested() } else { kind.is_nested() };
        if nested { format!("attributes_json({name}) AS {name}") } else { name.clone() }
    };
    let columns: Vec<String> = columns.fields().iter().map(column).collect();
    let environment = "coalesce(deployment_environment_name, 'default') AS environment";
    format!("SELECT {}, {environment} FROM {}", columns.join(", "), table.as_str())
}

/// `attributes_json(map)`: a map of text as a JSON object.
fn attributes_json() -> ScalarUDF {
    ScalarUDF::from(AttributesJson { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AttributesJson {
    signature: Signature,
}

impl ScalarUDFImpl for AttributesJson {
    fn name(&self) -> &'static str {
        "attributes_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else { return exec_err!("attributes_json needs something to write") };
        let Some(maps) = array.as_map_opt() else { return nested_json(array) };
        let mut texts = StringBuilder::new();
        for row in 0..maps.len() {
            if maps.is_null(row) {
                texts.append_null();
                continue;
            }
            let entries = maps.value(row);
            let (Some(keys), Some(values)) = (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>()) else {
                return exec_err!("attributes_json needs a map from text to text");
            };
            let object: serde_json::Map<String, serde_json::Value> =
                keys.iter().zip(values.iter()).filter_map(|(key, value)| Some((key?.to_owned(), value?.into()))).collect();
            texts.append_value(serde_json::to_string(&object).unwrap_or_default());
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish()) as ArrayRef))
    }
}

/// Values of any nested type, each as JSON.
fn nested_json(array: &ArrayRef) -> Result<ColumnarValue> {
    let field = Field::new("value", array.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array.clone()])?;
    let mut lines = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut lines);
    writer.write(&batch)?;
    writer.finish()?;
    let text = |line: serde_json::Result<serde_json::Value>| line.ok()?.get("value").map(ToString::to_string);
    let texts: arrow::array::StringArray = serde_json::Deserializer::from_slice(&lines).into_iter().map(text).collect();
    Ok(ColumnarValue::Array(Arc::new(texts)))
}

/// What `version()` says: clients look for the number.
const VERSION: &str = "PostgreSQL 15.0 (Haldane)";

/// A function without arguments that clients call when they connect or let go of a connection.
fn constant(name: &'static str, says: Option<&'static str>) -> ScalarUDF {
    ScalarUDF::from(Constant { name, says, signature: Signature::nullary(Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    says: Option<&'static str>,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(self.says.map(str::to_owned))))
    }
}

/// `current_setting(name)`: what clients ask when they connect.
fn current_setting() -> ScalarUDF {
    ScalarUDF::from(CurrentSetting { signature: Signature::uniform(1, vec![DataType::Utf8], Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    signature: Signature,
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &'static str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let names = arrays.first().and_then(|array| array.as_string_opt::<i32>());
        let setting = |name: Option<&str>| match name? {
            "server_version_num" => Some("150000"),
            "server_version" => Some("15.0"),
            "search_path" => Some("haldane"),
            "TimeZone" => Some("UTC"),
            _ => None,
        };
        let values: arrow::array::StringArray = names.into_iter().flatten().map(setting).collect();
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}

//! What a commit says of a file, so that it can be passed over.

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use serde_json::{Map, Value, json};

use super::properties::STATISTICS_BYTES_MAX;

/// Of all rows of a file.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    pub(super) rows: usize,
    times: Option<(i64, i64)>,
    services: Option<(String, String)>,
    services_missing: usize,
}

impl Statistics {
    /// Adds what some rows have in a column.
    pub(super) fn add_column(&mut self, name: &str, column: &ArrayRef) {
        match name {
            "time" => self.add_times(column),
            "service_name" => self.add_services(column),
            _ => {}
        }
    }

    fn add_times(&mut self, column: &ArrayRef) {
        for time in column.as_primitive_opt::<TimestampMicrosecondType>().into_iter().flat_map(|times| times.values()) {
            let (least, most) = self.times.get_or_insert((*time, *time));
            (*least, *most) = ((*least).min(*time), (*most).max(*time));
        }
    }

    fn add_services(&mut self, column: &ArrayRef) {
        self.services_missing += column.null_count();
        each_text(column, |service| {
            let (least, most) = self.services.get_or_insert_with(|| (service.to_owned(), service.to_owned()));
            if service < least.as_str() {
                service.clone_into(least);
            }
            if service > most.as_str() {
                service.clone_into(most);
            }
        });
    }

    pub(super) fn to_json(&self) -> Value {
        let (mut least, mut most) = (Map::new(), Map::new());
        if let Some((first, last)) = self.times {
            least.insert("time".to_owned(), instant(first).into());
            most.insert("time".to_owned(), instant(last).into());
        }
        if let Some((first, last)) = &self.services {
            // Engines answer `min` and `max` from these: they are exact or not there.
            if first.len().max(last.len()) <= STATISTICS_BYTES_MAX {
                least.insert("service_name".to_owned(), first.as_str().into());
                most.insert("service_name".to_owned(), last.as_str().into());
            }
        }
        let missing = json!({ "time": 0, "service_name": self.services_missing });
        json!({ "numRecords": self.rows, "minValues": least, "maxValues": most, "nullCount": missing })
    }
}

/// The texts that rows of a column have; of a dictionary each once.
fn each_text(column: &ArrayRef, visit: impl FnMut(&str)) {
    let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() else {
        column.as_string_opt::<i32>().into_iter().flat_map(|texts| texts.iter().flatten()).for_each(visit);
        return;
    };
    let Some(texts) = dictionary.values().as_string_opt::<i32>() else { return };
    let mut used = vec![false; texts.len()];
    dictionary.keys().iter().flatten().for_each(|key| used[key.cast_unsigned() as usize] = true);
    texts.iter().zip(used).filter_map(|(text, used)| text.filter(|_| used)).for_each(visit);
}

fn instant(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

//! For which service somebody speaks: as all that they have said so far has it.

use std::sync::Arc;

use super::envelope::Resource;
use super::value::{Value, as_text};

const SERVICE_NAME: &[u8] = b"service.name";
/// A longer name is not kept beside what it came with.
const NAME_BYTES_MAX: usize = 256;

/// Whom the resources of a request, or of all requests of a connection, speak for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Speaker {
    /// Nothing was said yet.
    #[default]
    Silent,
    /// All of them for this service.
    Service(Arc<str>),
    /// For several, or for one that has no name.
    Unclear,
}

impl Speaker {
    /// Both together.
    pub(crate) fn and(&mut self, more: Self) {
        *self = match (std::mem::take(self), more) {
            (known, Self::Silent) => known,
            (Self::Silent, more) => more,
            (Self::Service(known), Self::Service(more)) if known == more => Self::Service(known),
            _ => Self::Unclear,
        };
    }

    /// The service, if it is one.
    pub(crate) fn service(&self) -> Option<&Arc<str>> {
        match self {
            Self::Service(name) => Some(name),
            Self::Silent | Self::Unclear => None,
        }
    }

    /// A resource, that has been checked, beside those before it.
    pub(super) fn and_resource(&mut self, resource: &Resource<'_>) {
        let named = resource.attributes.iter().rfind(|attribute| attribute.key == SERVICE_NAME).map(|attribute| attribute.value);
        match (named, &*self) {
            (Some(Value::Text(name)), Self::Service(known)) if name == known.as_bytes() => {}
            (Some(Value::Text(name)), Self::Silent) if (1..=NAME_BYTES_MAX).contains(&name.len()) => {
                *self = Self::Service(as_text(name).into());
            }
            _ => *self = Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::value::Attribute;

    fn resource(attributes: &[(&'static str, &'static str)]) -> Resource<'static> {
        let mut resource = Resource::default();
        let attributes = attributes.iter().map(|(key, value)| Attribute { key: key.as_bytes(), value: Value::Text(value.as_bytes()) });
        resource.attributes.extend(attributes);
        resource
    }

    fn of(resources: &[Resource<'_>]) -> Speaker {
        let mut speaker = Speaker::default();
        resources.iter().for_each(|resource| speaker.and_resource(resource));
        speaker
    }

    #[test]
    fn resources_of_one_service_speak_for_it_and_others_for_nobody_in_particular() {
        let (cart, pay) = (resource(&[("host.name", "a"), ("service.name", "cart")]), resource(&[("service.name", "pay")]));
        let twice = resource(&[("service.name", "pay"), ("service.name", "cart")]);
        assert_eq!(of(&[]), Speaker::Silent);
        assert_eq!(of(&[resource(&[("service.name", "cart")]), cart, twice]), Speaker::Service("cart".into()));
        assert_eq!(of(&[resource(&[("service.name", "cart")]), pay]), Speaker::Unclear);
        assert_eq!(of(&[resource(&[]), resource(&[("service.name", "cart")])]), Speaker::Unclear);
        assert_eq!(of(&[resource(&[("service.name", "")])]), Speaker::Unclear);
    }

    #[test]
    fn a_connection_speaks_for_a_service_until_it_says_something_else() {
        let mut speaker = Speaker::default();
        assert_eq!(speaker.service(), None);
        speaker.and(Speaker::Silent);
        speaker.and(Speaker::Service("cart".into()));
        speaker.and(Speaker::Silent);
        speaker.and(Speaker::Service("cart".into()));
        assert_eq!(speaker.service().map(|name| &**name), Some("cart"));
        speaker.and(Speaker::Service("pay".into()));
        speaker.and(Speaker::Service("cart".into()));
        assert_eq!(speaker, Speaker::Unclear, "a gateway does not become a service again");
    }
}

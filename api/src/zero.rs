//! Zero values, as Kubernetes serializes them. Its types write `omitempty` on plain fields (not pointers), so that a
//! zero count, an empty string or an empty list is absent from what clients see and from what is compared; and
//! plain structs are there even where they are empty (`status: {}`). k8s-openapi has an `Option` for both.

/// Makes an explicit zero absent. For fields that are no pointers upstream.
pub(crate) fn omit<T: Default + PartialEq>(field: &mut Option<T>) {
    if field.as_ref().is_some_and(|value| *value == T::default()) {
        *field = None;
    }
}

/// Makes an absent struct an empty one, and gives it. For structs that are no pointers upstream.
pub(crate) fn keep<T: Default>(field: &mut Option<T>) -> &mut T {
    field.get_or_insert_with(T::default)
}

/// Sets a field that has no value, or that has a plain zero where upstream has no pointer.
pub(crate) fn fill<T: Default + PartialEq>(field: &mut Option<T>, value: impl Into<T>) {
    omit(field);
    if field.is_none() {
        *field = Some(value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_go_and_structs_stay() {
        let mut count = Some(0);
        omit(&mut count);
        assert_eq!(count, None);
        let mut list: Option<Vec<u8>> = None;
        assert!(keep(&mut list).is_empty());
        let mut policy = Some(String::new());
        fill(&mut policy, "Always");
        assert_eq!(policy.as_deref(), Some("Always"));
    }
}

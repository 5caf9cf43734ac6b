//! Signature files of a vendor that there is not.

/// The vendor: the beginning of a file.
pub(crate) fn vendor(id: &str) -> String {
    format!(
        r#"
        [vendor]
        id = "{id}"
        name = "Acme"
        country = "XX"
        default_enabled = false
        disabled_reason = "made up"
        "#
    )
}

/// One of its indicators, which matches a `value` of this kind.
pub(crate) fn indicator(id: &str, number: u32, kind: &str, value: &str) -> String {
    format!(
        r#"
        [[indicator]]
        id = "{id}"
        number = {number}
        match = {{ kind = {kind:?}, value = {value:?} }}
        purpose = "update"
        product = "Agent"
        strength = "strong"
        confounders = ["none"]
        evidence = [{{ class = "C", title = "t", reference = "r", retrieved = "2026-11-21", says = "s" }}]
        first_seen = "2026-11-21"
        review_by = "2027-05-21"
        "#
    )
}

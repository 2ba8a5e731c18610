//! Numbers as header values. The same few milliseconds come again and again, so each worker keeps the values it has made.

use http::HeaderValue;
use std::cell::RefCell;

/// Values kept: one for each number modulo this.
const KEPT: usize = 1024;

thread_local! {
    static VALUES: RefCell<Vec<Option<(u64, HeaderValue)>>> = const { RefCell::new(Vec::new()) };
}

/// A number as a header value.
pub fn value(number: u64) -> HeaderValue {
    VALUES.with_borrow_mut(|values| {
        values.resize(KEPT, None);
        match &mut values[number as usize % KEPT] {
            Some((kept, value)) if *kept == number => value.clone(),
            place => {
                let value = HeaderValue::from(number);
                *place = Some((number, value.clone()));
                value
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_share_a_place_are_not_mixed_up() {
        for number in [0, 1, 1024, 1, 15_000, 0, u64::MAX] {
            assert_eq!(value(number), number.to_string());
        }
    }
}

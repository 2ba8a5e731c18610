//! Every rule of the floor, one test each.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn wish(floor: Option<u32>) -> Wish {
    Wish { floor, ttl_s: 100.0, reason: "why".into(), scaler: "ns/shop".into(), term: 5 }
}

fn mark(value: u32, original: Option<u32>, expires_s: i64) -> FloorMark {
    Mark { value: Some(value), original, expires: at(expires_s), scaler: "ns/shop".into(), term: 5, reason: "why".into() }
}

fn field(value: Option<u32>, mark: Option<FloorMark>) -> Field {
    Field { value, most: Some(10), mark, foreign: String::new() }
}

#[test]
fn a_first_floor_remembers_what_stood_there() {
    assert_eq!(step(Kind::Hpa, &field(Some(2), None), &wish(Some(6)), at(0)), Ok(Step::Write(mark(6, Some(2), 100))));
    assert_eq!(step(Kind::Keda, &field(None, None), &wish(Some(6)), at(0)), Ok(Step::Write(mark(6, None, 100))));
}

#[test]
fn a_higher_floor_keeps_the_first_original() {
    let standing = field(Some(6), Some(mark(6, Some(2), 90)));
    assert_eq!(step(Kind::Hpa, &standing, &wish(Some(8)), at(10)), Ok(Step::Write(mark(8, Some(2), 110))));
    assert_eq!(
        step(Kind::Hpa, &standing, &wish(Some(4)), at(10)),
        Ok(Step::Write(mark(4, Some(2), 110))),
        "lower, but not below the user's"
    );
}

#[test]
fn bounded_by_the_users_minimum_and_the_scalers_maximum() {
    assert_eq!(step(Kind::Hpa, &field(Some(5), None), &wish(Some(4)), at(0)), Ok(Step::Keep), "the user already asks for more");
    assert_eq!(step(Kind::Hpa, &field(Some(2), None), &wish(Some(40)), at(0)), Ok(Step::Write(mark(10, Some(2), 100))));
}

#[test]
fn renewed_in_time_and_not_more_often() {
    let standing = field(Some(6), Some(mark(6, Some(2), 100)));
    assert_eq!(step(Kind::Hpa, &standing, &wish(Some(6)), at(30)), Ok(Step::Keep));
    assert_eq!(step(Kind::Hpa, &standing, &wish(Some(6)), at(45)), Ok(Step::Write(mark(6, Some(2), 145))));
}

#[test]
fn a_new_holder_renews_at_once_under_its_own_term_and_an_old_one_is_fenced_off() {
    let old = Mark { term: 4, ..mark(6, Some(2), 100) };
    assert_eq!(step(Kind::Hpa, &field(Some(6), Some(old)), &wish(Some(6)), at(1)), Ok(Step::Write(mark(6, Some(2), 101))));
    let newer = Mark { term: 6, ..mark(6, Some(2), 100) };
    assert_eq!(step(Kind::Hpa, &field(Some(6), Some(newer)), &wish(Some(8)), at(1)), Err(Refusal::Fenced { ours: 5, theirs: 6 }));
}

#[test]
fn withdrawing_puts_back_what_stood_there() {
    let standing = field(Some(6), Some(mark(6, Some(2), 100)));
    assert_eq!(step(Kind::Hpa, &standing, &wish(None), at(1)), Ok(Step::Restore(mark(6, Some(2), 100))));
    assert_eq!(step(Kind::Hpa, &standing, &wish(Some(2)), at(1)), Ok(Step::Restore(mark(6, Some(2), 100))), "a floor that adds nothing");
    assert_eq!(step(Kind::Hpa, &field(Some(2), None), &wish(None), at(1)), Ok(Step::Keep));
}

#[test]
fn what_somebody_else_set_meanwhile_is_theirs() {
    let changed = field(Some(3), Some(mark(6, Some(2), 100)));
    assert_eq!(step(Kind::Hpa, &changed, &wish(Some(8)), at(1)), Ok(Step::Forget));
    assert_eq!(step(Kind::Hpa, &changed, &wish(None), at(1)), Ok(Step::Forget));
}

#[test]
fn a_field_of_another_manager_is_refused_without_asking() {
    let owned = Field { foreign: "owned by kubectl".into(), ..field(Some(2), None) };
    assert_eq!(step(Kind::Hpa, &owned, &wish(Some(6)), at(0)), Err(Refusal::OwnedByOther("owned by kubectl".into())));
    assert_eq!(step(Kind::Hpa, &owned, &wish(Some(1)), at(0)), Ok(Step::Keep), "nothing to write, nothing to refuse");
    assert!(matches!(step(Kind::Scale, &owned, &wish(Some(6)), at(0)), Ok(Step::Write(_))), "the scale subresource is what scalers write");
}

#[test]
fn without_a_scaler_down_goes_gently() {
    let standing = |value, expires| field(Some(value), Some(mark(value, Some(2), expires)));
    let written = |step: Result<Step, Refusal>| match step {
        Ok(Step::Write(mark)) => mark.value,
        other => panic!("{other:?}"),
    };
    assert_eq!(written(step(Kind::Scale, &standing(10, 80), &wish(Some(3)), at(0))), Some(8), "a fifth");
    assert_eq!(step(Kind::Scale, &standing(8, 95), &wish(Some(3)), at(0)), Ok(Step::Keep), "not yet again");
    assert_eq!(written(step(Kind::Scale, &standing(4, 80), &wish(None), at(0))), Some(3), "on the way back, too");
    assert_eq!(step(Kind::Scale, &standing(3, 80), &wish(None), at(0)), Ok(Step::Restore(mark(3, Some(2), 80))));
    assert_eq!(written(step(Kind::Scale, &standing(3, 95), &wish(Some(9)), at(0))), Some(9), "up at once");
}

#[test]
fn a_person_who_scales_by_hand_sets_a_new_base() {
    let by_hand = field(Some(9), Some(mark(6, Some(2), 90)));
    assert_eq!(step(Kind::Scale, &by_hand, &wish(Some(7)), at(0)), Ok(Step::Forget), "they ask for more than we do");
    assert_eq!(step(Kind::Scale, &by_hand, &wish(Some(10)), at(0)), Ok(Step::Write(mark(10, Some(9), 100))));
}

#[test]
fn overdue_marks_are_put_back_and_others_left() {
    let standing = field(Some(6), Some(mark(6, Some(2), 100)));
    assert_eq!(overdue(&standing, at(99)), None);
    assert_eq!(overdue(&standing, at(100)), Some(Step::Restore(mark(6, Some(2), 100))));
    assert_eq!(overdue(&field(Some(3), Some(mark(6, Some(2), 100))), at(100)), Some(Step::Forget));
    assert_eq!(overdue(&field(Some(3), None), at(100)), None);
}

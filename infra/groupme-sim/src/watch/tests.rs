//! What is watched is told when it goes wrong, and only then.
use super::*;
use crate::finding::Weight;

/// What was seen, by its beginning.
fn seen(watch: &mut Watch, texts: &[&str]) -> Vec<(Weight, Kind)> {
    let sights = texts.iter().flat_map(|text| watch.taken(text, None, true));
    sights.map(|sight| (sight.weight, sight.kind)).collect()
}

const FAULT: (Weight, Kind) = (Weight::Fault, Kind::Order);
const NOTICE: (Weight, Kind) = (Weight::Notice, Kind::Order);
const TWICE: (Weight, Kind) = (Weight::Fault, Kind::Double);

#[test]
fn messages_whose_parts_follow_each_other_are_well() {
    let texts = ["pong", "(1/2):\na", "(2/2):\nb", "(1/3):\na", "(2/3):\nb", "(3/3):\nc", "(1/2):\na", "(2/2):\nc"];
    assert_eq!(seen(&mut Watch::default(), &texts), []);
}

#[test]
fn a_message_between_the_parts_of_another_is_a_notice_once() {
    let texts = ["(1/2):\na", "alarm", "alarm again", "(2/2):\nb", "after"];
    assert_eq!(seen(&mut Watch::default(), &texts), [NOTICE]);
    let whole = ["(1/2):\na", "(1/2):\nA", "(2/2):\nB", "(2/2):\nb", "after"];
    assert_eq!(seen(&mut Watch::default(), &whole), [NOTICE], "one with as many parts");
}

#[test]
fn parts_of_two_messages_that_take_turns_are_a_fault() {
    let texts = ["(1/2):\na", "(1/3):\nA", "(2/2):\nb", "(2/3):\nB", "(3/3):\nC"];
    assert_eq!(seen(&mut Watch::default(), &texts), [NOTICE, FAULT]);
}

#[test]
fn a_part_that_is_missing_or_too_early_is_a_fault() {
    assert_eq!(seen(&mut Watch::default(), &["(1/3):\na", "(3/3):\nc"]), [FAULT]);
    assert_eq!(seen(&mut Watch::default(), &["pong", "(2/2):\nb", "(1/2):\na", "pong"]), [FAULT, NOTICE]);
    assert_eq!(seen(&mut Watch::default(), &["(2/2):\nb"]), [NOTICE], "its beginning may have been seen by another");
}

#[test]
fn a_part_that_comes_twice_is_a_fault_and_one_that_is_spelled_alike_later_is_none() {
    let texts = ["(1/2):\na", "(1/2):\na", "(2/2):\nb", "(1/2):\na", "(2/2):\nb"];
    assert_eq!(seen(&mut Watch::default(), &texts), [TWICE]);
}

#[test]
fn words_that_only_look_like_a_label_are_none() {
    let texts = ["(1/2) a", "(0/2):\na", "(3/2):\na", "(1/1):\na", "\"(2/2):\na\"", "(x/y):\n", "(2/2):"];
    assert_eq!(seen(&mut Watch::default(), &texts), []);
}

#[test]
fn the_same_words_twice_are_a_fault_only_with_the_same_uid() {
    let dressed = |uid: &str| format!("\"Hello\"\n---UID---\n{uid}\n---------");
    let (one, other, number) = (dressed("000000a1"), dressed("000000a2"), dressed("4711"));
    let texts = [&one, &other, "pong", "pong", &number].map(|text| text as &str);
    let mut watch = Watch::default();
    assert_eq!(seen(&mut watch, &texts), []);
    assert_eq!(seen(&mut watch, &[&number]), [(Weight::Notice, Kind::Double)]);
    assert_eq!(seen(&mut watch, &[&one]), [TWICE]);
    let mut hidden = Watch::default();
    assert_eq!(hidden.taken(&one, None, false), [], "nobody saw it");
    assert_eq!(seen(&mut hidden, &[&one]), []);
}

#[test]
fn an_upload_that_is_shown_twice_is_a_fault_and_a_picture_that_lay_there_before_is_none() {
    let mut watch = Watch::default();
    let mut show = |url, uploaded| watch.taken("", Some(PostedPicture { url, uploaded }), true).len();
    let url = "https://i.groupme.com/1x1.gif.a";
    assert_eq!([show(url, true), show("https://i.groupme.com/1x1.gif.b", true), show(url, true)], [0, 0, 1]);
    assert_eq!(
        [show("https://i.groupme.com/1x1.gif.c", false), show("https://i.groupme.com/1x1.gif.c", false)],
        [0, 0]
    );
}

#[test]
fn a_burst_and_then_the_pace_is_well_and_one_more_is_a_fault() {
    let (mut watch, begin) = (Watch::default(), Instant::now());
    let mut at = |millis: u64| watch.arrives(begin + Duration::from_millis(millis)).len();
    assert_eq!([at(0), at(0), at(0), at(950), at(2000), at(2900)], [0; 6]);
    assert_eq!([at(3300), at(4300), at(5300)], [1, 0, 0], "one that was too early is told once");
    assert_eq!([at(10_000), at(10_000), at(10_000), at(10_000)], [0, 0, 0, 1]);
}

#[test]
fn another_pace_may_be_right() {
    let (mut watch, begin) = (Watch::default(), Instant::now());
    watch.set_pace(Pace { every: Duration::from_millis(10), burst: 1 });
    let mut at = |millis: u64| watch.arrives(begin + Duration::from_millis(millis)).len();
    assert_eq!([at(0), at(10), at(20), at(22)], [0, 0, 0, 1]);
}

#[test]
fn a_rate_limit_must_be_waited_out() {
    let (mut watch, begin) = (Watch::default(), Instant::now());
    let after = |millis: u64| begin + Duration::from_millis(millis);
    assert_eq!(watch.arrives(begin).len(), 0);
    watch.limited(begin, Some(Duration::from_secs(5)));
    assert_eq!(watch.arrives(after(3000)).len(), 1);
    watch.limited(after(3000), Some(Duration::from_secs(5)));
    assert_eq!(watch.arrives(after(8000)).len(), 0);
    watch.limited(after(8000), None);
    assert_eq!(watch.arrives(after(8100)).len(), 1, "at once is too soon, whatever the answer said");
}

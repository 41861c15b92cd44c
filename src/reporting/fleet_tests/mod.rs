//! Every unit is billed once, whatever machine dies, stands still or comes back, and whatever Redis loses.

mod apart;
mod machine;
mod redis;
mod world;

use machine::{Line, Work, transport};
use redis::Fate;
use world::World;

const WORKS: [Work; 4] = [Work::Seal, Work::Send, Work::Copy, Work::TakeOver];

/// Small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// All machines have come back, and all is done.
fn assert_once(world: &World, story: &str) {
    let stripe = world.stripe.lock().expect("stripe");
    for (node, machine) in world.machines.iter().enumerate() {
        assert_eq!(stripe.units(node), machine.used, "machine {node}: {story}\n{:?}", stripe.taken);
        assert_eq!(world.left(node), (0, 0, 0), "machine {node}: {story}");
        assert_eq!(world.fences(node), 0, "machine {node}: {story}");
    }
    assert!(!world.redis.lock().expect("redis").has_open_fence(), "{story}");
}

fn some_node(random: &mut Random) -> usize {
    usize::try_from(random.below(3)).expect("small")
}

/// One thing happens.
fn happen(world: &mut World, random: &mut Random) -> String {
    let node = some_node(random);
    match random.below(24) {
        0..4 => {
            let (customer, units) =
                (1 + u32::from(random.one_in(2)), 1 + i64::try_from(random.below(9)).expect("small"));
            world.use_units(node, customer, units);
            format!("use {node} {customer} {units}")
        }
        4..13 => {
            let work = WORKS[usize::try_from(random.below(4)).expect("small")];
            let stop = random.one_in(3).then(|| u32::try_from(random.below(9)).expect("small"));
            let done = world.work(node, work, stop);
            let dies = !done && random.one_in(2);
            if dies {
                world.kill(node);
            }
            format!("work {node} {work:?} {stop:?} done {done} dies {dies}")
        }
        13 => {
            world.go_on(node);
            format!("go on {node}")
        }
        14 => {
            world.kill(node);
            // It may be for long.
            world.pass_time(if random.one_in(2) { 700 } else { 0 });
            format!("kill {node}")
        }
        15 | 16 => {
            world.start(node);
            format!("start {node}")
        }
        17 => {
            let fate =
                [Fate::Silent, Fate::Late, Fate::Cut][usize::try_from(random.below(3)).expect("small")];
            world.set_fate(node, fate);
            format!("fate {node} {}", fate as u8)
        }
        18 => {
            world.set_fate(node, Fate::Fine);
            format!("fine {node}")
        }
        19 => {
            let line = [Line::Fine, Line::Deaf, Line::Lost][usize::try_from(random.below(3)).expect("small")];
            *world.machines[node].line.lock().expect("line") = line;
            format!("line {node} {}", line as u8)
        }
        20 => {
            world.come_late();
            "late".into()
        }
        21 if random.one_in(3) => {
            world.flush();
            "flush".into()
        }
        _ => {
            let seconds = [1, 12, 700, 700][usize::try_from(random.below(4)).expect("small")];
            world.pass_time(seconds);
            format!("pass {seconds}")
        }
    }
}

fn seeds(by_default: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("SEED").unwrap_or(1);
    first..first + number("SEEDS").unwrap_or(by_default)
}

#[test]
fn every_unit_counts_once_in_any_order_of_deaths_returns_losses_and_standstills() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let transport = transport();
    for seed in seeds(40) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut world = World::new(3, &transport);
        let mut story = format!("SEED={seed} SEEDS=1");
        for _ in 0..20 + random.below(60) {
            let happened = happen(&mut world, &mut random);
            story.push('\n');
            story.push_str(&happened);
        }
        world.settle(&[0, 1, 2]);
        world.pass_time(40);
        world.settle(&[0, 1, 2]);
        assert_once(&world, &story);
    }
}

/// Where everything goes wrong: an operation, and the point in it.
#[derive(Clone, Copy, Debug)]
struct Stop {
    operation: usize,
    point: u32,
}

const LOST: usize = 0;
const TAKER: usize = 1;

#[derive(Clone, Copy, Debug)]
struct Plan {
    /// The machine that is lost stops here, and dies or stands still.
    lost: Stop,
    dies: bool,
    hears_stripe: bool,
    /// The taker dies here, and is started again.
    taker: Option<Stop>,
    /// Before which of the taker's operations the machine comes back, and Redis loses all.
    returns: usize,
    flush: Option<usize>,
}

const LOST_WORKS: [Work; 6] = [Work::Copy, Work::Seal, Work::Send, Work::Copy, Work::Seal, Work::Send];
const TAKER_WORKS: [Work; 5] = [Work::TakeOver, Work::Copy, Work::Send, Work::Copy, Work::TakeOver];

/// Uses, copies, seals and sends, and stops in the middle of it. `None`: the plan's point lies behind its operation.
fn lose(world: &mut World, plan: &Plan) -> Option<()> {
    if !plan.hears_stripe {
        *world.machines[LOST].line.lock().expect("line") = Line::Deaf;
    }
    for (at, work) in LOST_WORKS.into_iter().enumerate() {
        world.use_units(LOST, 1, 5);
        let stop = (at == plan.lost.operation).then_some(plan.lost.point);
        let is_done = world.work(LOST, work, stop);
        if stop.is_some() {
            // Sealing has no point to stop at: behind it there is one.
            if is_done && (work != Work::Seal || plan.lost.point > 0) {
                return None;
            }
            if plan.dies || is_done {
                world.kill(LOST);
            }
            world.pass_time(700);
            return Some(());
        }
    }
    None
}

fn come_back(world: &mut World) {
    world.go_on(LOST);
    world.start(LOST);
    for work in [Work::Send, Work::Copy, Work::Seal, Work::Send] {
        world.work(LOST, work, None);
    }
}

/// `None`: there is no such plan.
fn play(plan: &Plan, transport: &std::sync::Arc<crate::stripe::Transport>) -> Option<()> {
    let mut world = World::new(2, transport);
    lose(&mut world, plan)?;
    for (at, work) in TAKER_WORKS.into_iter().enumerate() {
        if plan.flush == Some(at) {
            world.flush();
        }
        if plan.returns == at {
            come_back(&mut world);
        }
        let stop = plan.taker.filter(|stop| stop.operation == at).map(|stop| stop.point);
        let is_done = world.work(TAKER, work, stop);
        if stop.is_some() {
            if is_done {
                return None;
            }
            world.kill(TAKER);
            world.start(TAKER);
            world.work(TAKER, work, None);
        }
    }
    let story = format!("{plan:?}");
    if plan.returns == TAKER_WORKS.len() {
        world.settle(&[TAKER]);
        assert_eq!(world.left(TAKER), (0, 0, 0), "{story}: the taker's own");
        let (sent, used) = (world.stripe.lock().expect("stripe").units(LOST), world.machines[LOST].used);
        let copied = world.machines[LOST].copied.load(std::sync::atomic::Ordering::Relaxed);
        assert!(sent <= used, "{story}: {sent} of {used}");
        assert!(plan.flush.is_some() || sent >= copied, "{story}: {sent} of {copied} that were copied");
        come_back(&mut world);
    }
    world.settle(&[LOST, TAKER]);
    world.pass_time(40);
    world.settle(&[LOST, TAKER]);
    assert_once(&world, &story);
    Some(())
}

/// Every plan there may be; some of their points do not exist.
fn plans() -> impl Iterator<Item = Plan> {
    let stops = |operations: usize| {
        (0..operations).flat_map(|operation| (0..6).map(move |point| Stop { operation, point }))
    };
    stops(LOST_WORKS.len()).flat_map(move |lost| {
        let takers = std::iter::once(None).chain(stops(TAKER_WORKS.len()).map(Some));
        takers.flat_map(move |taker| {
            (0..=TAKER_WORKS.len()).flat_map(move |returns| {
                let flushes = std::iter::once(None).chain((0..TAKER_WORKS.len()).map(Some));
                flushes.flat_map(move |flush| {
                    [(true, true), (true, false), (false, true), (false, false)]
                        .map(|(dies, hears_stripe)| Plan { lost, dies, hears_stripe, taker, returns, flush })
                })
            })
        })
    })
}

#[test]
fn every_unit_counts_once_wherever_a_machine_and_its_taker_stop() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let transport = transport();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    // A part of them each time, more of those in which nothing else happens; all with STRIDE=1.
    let stride = number("STRIDE").unwrap_or(1_999);
    let plain = stride.min(5);
    let first =
        number("FIRST").unwrap_or_else(|| usize::try_from(crate::clock::now().seconds()).expect("small"));
    let is_plain = |plan: &Plan| plan.taker.is_none() && plan.flush.is_none();
    let plans = plans().filter(is_plain).skip(first % plain).step_by(plain);
    let plans = plans.chain(self::plans().skip(first % stride).step_by(stride));
    let played = plans.filter_map(|plan| play(&plan, &transport)).count();
    assert!(played > 0, "FIRST={first} STRIDE={stride}");
}

#[test]
fn nothing_is_sent_before_it_is_in_the_copy() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut world = World::new(1, &transport());
    let sent = |world: &mut World| {
        world.work(0, Work::Send, None);
        world.stripe.lock().expect("stripe").units(0)
    };
    world.set_fate(0, Fate::Cut);
    world.use_units(0, 1, 5);
    world.work(0, Work::Seal, None);
    assert_eq!(sent(&mut world), 0, "Redis is away");
    world.set_fate(0, Fate::Fine);
    *world.machines[0].line.lock().expect("line") = Line::Lost;
    assert_eq!(sent(&mut world), 0, "it is copied, and Stripe is away");
    world.set_fate(0, Fate::Cut);
    *world.machines[0].line.lock().expect("line") = Line::Fine;
    world.use_units(0, 2, 3);
    world.work(0, Work::Seal, None);
    assert_eq!(sent(&mut world), 5, "what has been copied is sent, and nothing else");
}

#[test]
fn a_write_that_comes_late_does_not_replace_a_later_one() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let mut world = World::new(2, &transport());
    world.work(LOST, Work::Copy, None);
    world.use_units(LOST, 1, 5);
    world.set_fate(LOST, Fate::Late);
    world.work(LOST, Work::Copy, None);
    world.use_units(LOST, 1, 5);
    world.set_fate(LOST, Fate::Fine);
    world.work(LOST, Work::Copy, None);
    world.come_late();
    world.kill(LOST);
    world.pass_time(700);
    world.settle(&[TAKER]);
    assert_eq!(world.stripe.lock().expect("stripe").units(LOST), 10);
}

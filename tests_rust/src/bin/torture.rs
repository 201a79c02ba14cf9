//! `torture [--seconds N] [--seed N] [--writers N] [--readers N] [--scanners N]`: processes that
//! are killed and stopped while they use a map, under the eyes of a judge. See
//! `shf_tests::torture`.

#[cfg(any(miri, loom))]
fn main() {}

#[cfg(not(any(miri, loom)))]
fn main() -> std::process::ExitCode {
    use shf_tests::torture::run;
    use std::process::ExitCode;
    let plan = match arguments::plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("torture: {why}");
            return ExitCode::from(2);
        }
    };
    println!("seed {} (--seed repeats the choices)", plan.seed);
    match run(&plan) {
        Ok(report) => println!("{report}"),
        Err(why) => {
            println!("FAILED: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(not(any(miri, loom)))]
mod arguments {
    use shf_tests::clock::now;
    use shf_tests::torture::Plan;
    use std::time::Duration;

    /// What the arguments ask for; without a seed, any.
    pub fn plan(mut arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
        let mut plan = Plan::new(Duration::from_secs(60), now());
        while let Some(name) = arguments.next() {
            let text = arguments.next().ok_or(format!("{name} needs a number"))?;
            let number: u64 = text.parse().map_err(|_| format!("{name}: {text} is no number"))?;
            match name.as_str() {
                "--seconds" => plan.time = Duration::from_secs(number),
                "--seed" => plan.seed = number,
                "--writers" => plan.writers = number as usize,
                "--readers" => plan.readers = number as usize,
                "--scanners" => plan.scanners = number as usize,
                _ => return Err(format!("there is no option {name}")),
            }
        }
        if plan.seats() == 0 || plan.seats() > 64 {
            return Err("there must be 1 to 64 processes".into());
        }
        Ok(plan)
    }
}

//! The rank of this process and the number of ranks, from torchrun's environment variables.

use std::fmt;

/// Global rank of this process.
const RANK: &str = "RANK";
/// Number of processes.
const WORLD_SIZE: &str = "WORLD_SIZE";
/// Index of this process on its machine.
const LOCAL_RANK: &str = "LOCAL_RANK";
/// Host of the store.
const MASTER_ADDR: &str = "MASTER_ADDR";
const MASTER_PORT: &str = "MASTER_PORT";
/// `True` if torchrun's agent hosts the store, so that rank 0 must not.
const AGENT_STORE: &str = "TORCHELASTIC_USE_AGENT_STORE";
/// Number of processes on this machine. Optional, but validated if set.
const LOCAL_WORLD_SIZE: &str = "LOCAL_WORLD_SIZE";

/// The required variables.
const NEEDED: [&str; 5] = [RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT];

/// Host and port of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// Port, 1 to 65535.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// Whether the address is reachable only from this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let number = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || number.is_ok_and(|number| number.is_loopback())
    }
}

/// The rank of a process, the number of ranks, and the address of the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    rank: usize,
    world_size: usize,
    local_rank: usize,
    master: Address,
    uses_agent_store: bool,
}

/// The reason why the variables are not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Some of the variables are set, but not all.
    #[error(
        "{} is set, but {missing} is not: torchrun sets {}, and another launcher must set all of them", .set, NEEDED.join(", ")
    )]
    Missing {
        /// A variable that is set.
        set: &'static str,
        /// A variable that is not set.
        missing: &'static str,
    },
    /// A value is invalid.
    #[error("{name} is '{value}': it must be {wanted}")]
    Malformed {
        /// Name of the variable.
        name: &'static str,
        /// The value, shortened if it is long.
        value: String,
        /// The valid values.
        wanted: &'static str,
    },
    /// Two values contradict each other.
    #[error("{small} is {small_value}, but {large} is {large_value}: {small} must be smaller (ranks count from 0)")]
    Contradiction {
        /// Name of the variable that must be smaller.
        small: &'static str,
        /// Its value.
        small_value: usize,
        /// Name of the other.
        large: &'static str,
        /// Its value.
        large_value: usize,
    },
}

impl Environment {
    /// Reads the variables of this process. Returns `None` if none of them is set: the process runs alone.
    ///
    /// # Errors
    /// Returns [`EnvironmentError`] if some variables are missing, malformed or contradict each other.
    pub fn read() -> Result<Option<Self>, EnvironmentError> {
        Self::from_variables(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Like [`read`](Environment::read), with a function that returns the value of a variable.
    ///
    /// # Errors
    /// Returns the errors of [`read`](Environment::read).
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvironmentError> {
        // MASTER_ADDR and MASTER_PORT alone do not imply a rank, because a cluster may set them in the shell.
        let Some(set) = [RANK, WORLD_SIZE].into_iter().find(|name| variable(name).is_some()) else {
            return Ok(None);
        };
        let needed = |name| variable(name).ok_or(EnvironmentError::Missing { set, missing: name });
        let number = |name| parse(name, &needed(name)?, "a whole number, 0 or above", |text| text.parse().ok());
        let rank = number(RANK)?;
        let world_size = number(WORLD_SIZE)?;
        let local_rank = number(LOCAL_RANK)?;
        let host = parse(MASTER_ADDR, &needed(MASTER_ADDR)?, "a host name or address", |text| {
            (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
        })?;
        let port = parse(MASTER_PORT, &needed(MASTER_PORT)?, "a port, 1 to 65535", |text| {
            text.parse().ok().filter(|&port| port > 0)
        })?;
        let uses_agent_store = match variable(AGENT_STORE) {
            Some(text) => parse(AGENT_STORE, &text, "True or False", |text| match text {
                "True" | "true" | "1" => Some(true),
                "False" | "false" | "0" | "" => Some(false),
                _ => None,
            })?,
            None => false,
        };
        if let Some(text) = variable(LOCAL_WORLD_SIZE) {
            let local_world_size =
                parse(LOCAL_WORLD_SIZE, &text, "a whole number, 1 or above", |text| text.parse().ok())?;
            below((LOCAL_RANK, local_rank), (LOCAL_WORLD_SIZE, local_world_size))?;
        }
        Ok(Some(Self::new(rank, world_size, local_rank, Address { host, port }, uses_agent_store)?))
    }

    /// Creates an environment with these values.
    ///
    /// # Errors
    /// Returns [`EnvironmentError::Contradiction`] if the rank or the local rank is not below `world_size`.
    pub fn new(
        rank: usize,
        world_size: usize,
        local_rank: usize,
        master: Address,
        uses_agent_store: bool,
    ) -> Result<Self, EnvironmentError> {
        below((RANK, rank), (WORLD_SIZE, world_size))?;
        below((LOCAL_RANK, local_rank), (WORLD_SIZE, world_size))?;
        // c10d uses 32-bit ranks.
        if i32::try_from(world_size).is_err() {
            let value = world_size.to_string();
            return Err(EnvironmentError::Malformed { name: WORLD_SIZE, value, wanted: "below 2147483648" });
        }
        Ok(Self { rank, world_size, local_rank, master, uses_agent_store })
    }

    /// Returns the variables with these values, for a child process.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let agent = if self.uses_agent_store { "True" } else { "False" };
        vec![
            (RANK, self.rank.to_string()),
            (WORLD_SIZE, self.world_size.to_string()),
            (LOCAL_RANK, self.local_rank.to_string()),
            (MASTER_ADDR, self.master.host.clone()),
            (MASTER_PORT, self.master.port.to_string()),
            (AGENT_STORE, agent.to_owned()),
        ]
    }

    /// Global rank of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn world_size(&self) -> usize {
        self.world_size
    }

    /// Index of this process on its machine, from 0. It selects the GPU.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// The address where the ranks rendezvous.
    pub fn master(&self) -> &Address {
        &self.master
    }

    /// Whether torchrun's agent hosts the store. Otherwise rank 0 does.
    pub fn uses_agent_store(&self) -> bool {
        self.uses_agent_store
    }
}

/// Parses the value of a variable.
fn parse<T>(
    name: &'static str,
    text: &str,
    wanted: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, EnvironmentError> {
    read(text.trim()).ok_or_else(|| EnvironmentError::Malformed {
        name,
        value: text.chars().take(60).collect(),
        wanted,
    })
}

/// Checks that a number is below another.
fn below(
    (small, small_value): (&'static str, usize),
    (large, large_value): (&'static str, usize),
) -> Result<(), EnvironmentError> {
    if small_value < large_value {
        return Ok(());
    }
    Err(EnvironmentError::Contradiction { small, small_value, large, large_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORCHRUN: [(&str, &str); 6] = [
        (RANK, "1"),
        (WORLD_SIZE, "2"),
        (LOCAL_RANK, "1"),
        (MASTER_ADDR, "127.0.0.1"),
        (MASTER_PORT, "29501"),
        (AGENT_STORE, "True"),
    ];

    /// Reads torchrun's variables with some changes; an empty value removes a variable.
    fn read(changes: &[(&str, &str)]) -> Result<Option<Environment>, EnvironmentError> {
        Environment::from_variables(|name| {
            let changed = changes.iter().find(|(changed, _)| *changed == name);
            let (_, value) = changed.or_else(|| TORCHRUN.iter().find(|(known, _)| *known == name))?;
            (!value.is_empty()).then(|| (*value).to_owned())
        })
    }

    fn message(changes: &[(&str, &str)]) -> String {
        read(changes).expect_err("the variables are invalid").to_string()
    }

    #[test]
    fn the_variables_of_torchrun_are_parsed() {
        let environment = read(&[]).expect("the variables are valid").expect("a rank");
        assert_eq!((environment.rank(), environment.world_size(), environment.local_rank()), (1, 2, 1));
        assert_eq!(environment.master().to_string(), "127.0.0.1:29501");
        assert!(environment.uses_agent_store() && environment.master().is_loopback());
    }

    #[test]
    fn variables_round_trip() {
        let environment = read(&[]).expect("the variables are valid").expect("a rank");
        let variables = environment.variables();
        let again = Environment::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        });
        assert_eq!(again, Ok(Some(environment)));
    }

    #[test]
    fn without_rank_and_world_size_there_is_no_environment() {
        assert_eq!(read(&[(RANK, ""), (WORLD_SIZE, "")]), Ok(None));
    }

    #[test]
    fn a_missing_variable_is_named() {
        for missing in NEEDED {
            let text = message(&[(missing, "")]);
            assert!(text.contains(&format!("but {missing} is not")), "{text}");
        }
    }

    #[test]
    fn a_malformed_variable_is_named_with_its_value() {
        let cases = [
            (RANK, "-1"),
            (WORLD_SIZE, "two"),
            (LOCAL_RANK, "1.5"),
            (MASTER_ADDR, "a b"),
            (MASTER_PORT, "0"),
            (MASTER_PORT, "65536"),
            (AGENT_STORE, "maybe"),
        ];
        for (name, value) in cases {
            let text = message(&[(name, value)]);
            assert!(text.starts_with(&format!("{name} is '{value}'")), "{text}");
        }
        assert!(message(&[(RANK, &"9".repeat(10_000))]).len() < 200, "a long value is truncated");
    }

    #[test]
    fn contradictory_values_are_both_named() {
        let text = message(&[(RANK, "2")]);
        assert!(text.contains("RANK is 2") && text.contains("WORLD_SIZE is 2"), "{text}");
        assert!(message(&[(LOCAL_WORLD_SIZE, "1")]).contains("LOCAL_WORLD_SIZE is 1"));
        assert!(message(&[(RANK, "0"), (WORLD_SIZE, "0")]).contains("WORLD_SIZE is 0"));
        assert!(message(&[(LOCAL_RANK, "2")]).contains("LOCAL_RANK is 2"));
    }
}

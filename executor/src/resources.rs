use tfnas_stages::{Resources, Stage};

const GIB: f64 = (1u64 << 30) as f64;

/// Resources that an instance needs while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    pub cores: usize,
    /// 0 if unknown.
    pub memory_bytes: u64,
    /// Number of CUDA devices.
    pub gpus: usize,
    /// Whether nothing else may run at the same time, because the instance measures latency.
    pub exclusive: bool,
}

impl ResourceRequest {
    /// Returns this request with the values that are declared for the stage.
    pub fn declared(self, resources: &Resources, stage: Stage) -> Self {
        let of_stage = resources.stages.get(&stage).cloned().unwrap_or_default();
        Self {
            cores: of_stage.cores.unwrap_or(self.cores),
            memory_bytes: of_stage.memory_gib.map_or(self.memory_bytes, |gib| (gib * GIB) as u64),
            ..self
        }
    }
}

/// Resources available to all instances that run in parallel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceBudget {
    cores: Option<usize>,
    memory_bytes: Option<u64>,
    gpus: usize,
}

impl ResourceBudget {
    /// Returns the declared budget. The defaults are one CUDA device, and no limit on cores and memory.
    pub fn new(declared: &Resources) -> Self {
        Self {
            cores: declared.cores,
            memory_bytes: declared.memory_gib.map(|gib| (gib * GIB) as u64),
            gpus: declared.gpus.unwrap_or(1),
        }
    }

    /// Returns whether an instance fits next to the running ones. If nothing is running, every instance fits; otherwise
    /// a large instance would never start.
    pub fn fits<'a>(
        &self,
        running: impl Iterator<Item = &'a ResourceRequest> + Clone,
        need: &'a ResourceRequest,
    ) -> bool {
        if running.clone().next().is_none() {
            return true;
        }
        if need.exclusive || running.clone().any(|other| other.exclusive) {
            return false;
        }
        let all = || running.clone().chain([need]);
        let memory: u64 = all().map(|need| need.memory_bytes).sum();
        let cores: usize = all().map(|need| need.cores).sum();
        self.cores.is_none_or(|limit| cores <= limit)
            && all().map(|need| need.gpus).sum::<usize>() <= self.gpus
            && self.memory_bytes.is_none_or(|limit| memory <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: ResourceRequest = ResourceRequest { cores: 1, memory_bytes: 1 << 30, gpus: 0, exclusive: false };

    #[test]
    fn instances_run_in_parallel_while_cores_and_memory_suffice() {
        let budget = ResourceBudget { cores: Some(2), memory_bytes: Some(2 << 30), gpus: 1 };
        assert!(budget.fits([SMALL].iter(), &SMALL));
        assert!(!budget.fits([SMALL, SMALL].iter(), &SMALL), "no core is left");
        assert!(!budget.fits([SMALL].iter(), &ResourceRequest { memory_bytes: 3 << 29, ..SMALL }), "no memory is left");
        let cuda = ResourceRequest { gpus: 1, ..SMALL };
        assert!(budget.fits([SMALL].iter(), &cuda) && !budget.fits([cuda].iter(), &cuda));
    }

    #[test]
    fn every_instance_fits_if_nothing_else_runs() {
        let budget = ResourceBudget { cores: Some(2), memory_bytes: Some(1 << 30), gpus: 0 };
        assert!(
            budget.fits([].iter(), &ResourceRequest { cores: 64, memory_bytes: 1 << 40, gpus: 8, exclusive: true })
        );
    }

    #[test]
    fn nothing_runs_next_to_a_latency_measurement() {
        let budget = ResourceBudget { cores: None, memory_bytes: None, gpus: 1 };
        let measuring = ResourceRequest { exclusive: true, ..SMALL };
        assert!(!budget.fits([SMALL].iter(), &measuring) && !budget.fits([measuring].iter(), &SMALL));
    }
}

//! Determines the processes, threads and other resources of an instance.

use tfnas_planner::machine::cpu;
use tfnas_planner::plan::PlanError;
use tfnas_stages::{Executor, Stage};

use crate::Runner;
use crate::resources::ResourceRequest;

impl Runner<'_> {
    /// Returns the resources of an instance while it runs. Memory is that of its last result, unless it is declared.
    pub(crate) fn resource_request(&self, instance: usize) -> Result<ResourceRequest, PlanError> {
        let planner = self.planner;
        let node = &planner.graph.instances[instance];
        let took = planner.cache.ledger().last_result(&node.id)?.and_then(|last| last.usage.peak_memory_bytes);
        let processes = self.processes(instance);
        let resources = &planner.variant(instance).config.resources;
        let gpus = match planner.device(instance).kind() {
            "cuda" if node.stage == Stage::Select => processes.min(self.gpus(instance)),
            "cuda" => processes,
            _ => 0,
        };
        let request = ResourceRequest {
            cores: self.threads(instance) * processes,
            memory_bytes: took.unwrap_or(0),
            gpus,
            exclusive: planner.key_facts(instance).latency,
        };
        Ok(request.declared(resources, node.stage))
    }

    /// Returns the number of GPUs that a stage may use. Candidates of a selection share them; ranks of a training do
    /// not.
    fn gpus(&self, instance: usize) -> usize {
        self.planner.variant(instance).config.resources.gpus.unwrap_or(1).max(1)
    }

    /// Returns the number of processes that this planner starts for an instance.
    pub(crate) fn processes(&self, instance: usize) -> usize {
        let config = &self.planner.variant(instance).config;
        let starts_all = self.launcher.is_none() && config.executor == Executor::Local;
        if starts_all { self.ranks(instance) } else { 1 }
    }

    /// Returns the number of processes that work on an instance, whoever starts them.
    pub(crate) fn ranks(&self, instance: usize) -> usize {
        let config = &self.planner.variant(instance).config;
        let stage = self.planner.graph.instances[instance].stage;
        match config.processes(stage) {
            0 if self.planner.device(instance).kind() == "cuda" => self.gpus(instance),
            0 => config.resources.cores.unwrap_or_else(cpu::cores).min(cpu::cores()).max(1),
            processes => processes,
        }
    }

    /// Returns the number of computing threads of each process of an instance.
    pub(crate) fn threads(&self, instance: usize) -> usize {
        let config = &self.planner.variant(instance).config;
        let stage = self.planner.graph.instances[instance].stage;
        if let Some(threads) = stage.spec().threads(config) {
            return threads;
        }
        match config.threads {
            0 if config.executor == Executor::Slurm => config.slurm_request(stage).cores.unwrap_or(1),
            0 => match self.launcher {
                Some(launcher) if stage.runs_on_ranks(config) => launcher.threads(),
                _ => (cpu::cores() / self.processes(instance)).max(1),
            },
            threads => threads,
        }
    }

    /// Returns the number of threads with which each process of an instance decodes images.
    pub(crate) fn data_workers(&self, instance: usize) -> usize {
        let config = &self.planner.variant(instance).config;
        let stage = self.planner.graph.instances[instance].stage;
        let cores = match config.executor {
            Executor::Slurm => config.slurm_request(stage).cores.unwrap_or(1),
            Executor::Local => cpu::cores() / self.processes(instance).max(1),
        };
        config.data.workers.threads(self.planner.device(instance).kind() == "cuda", cores)
    }
}

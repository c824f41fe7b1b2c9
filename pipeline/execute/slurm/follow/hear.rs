//! Hearing the worker, the controller and the user.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use tfnas_stages::{Event, LastWord, Level};

use super::{Follower, LOOK_EVERY, Wish};
use crate::execute::Happening;
use crate::execute::events::Mail;
use crate::execute::happening::Failed;
use crate::execute::slurm::state::{Sight, obstacle};

impl Follower<'_> {
    /// Takes in what the worker has written since.
    pub(super) fn listen(&mut self) {
        // What cannot be read now, as where another machine replaces it, is read next time.
        if let Ok(word) = LastWord::read(&self.folder) {
            let word = word.filter(|word| word.submission == self.submission.number);
            if let Some(LastWord { host, restart, submission, .. }) = &word
                && self.told_start != Some((*submission, *restart))
            {
                self.told_start = Some((*submission, *restart));
                let again = if *restart > 0 { ", started again" } else { "" };
                let job = self.submission.job.as_ref().map_or("its job".to_owned(), |job| format!("job {job}"));
                let message = format!("{job} runs on {host}{again}");
                (self.tell)(Happening::Log { level: Level::Info, message });
            }
            self.word = word;
        }
        while let Ok(lines) = self.tail.read()
            && !lines.is_empty()
        {
            for line in lines {
                let Some(event) = line.event else { continue };
                if let Event::Hello { environment, .. } = &event {
                    self.refused = self.wrong_device(environment).or(self.refused.take());
                }
                let nobody = |_| {};
                let listener: &dyn Fn(Happening) = if line.told { &nobody } else { self.tell };
                if !self.heard.hear(event, listener) {
                    self.refused = self.heard.take_failure();
                }
            }
        }
    }

    /// A latency is filed under the device that the configuration declares, which must be the one that measures it.
    fn wrong_device(&self, environment: &BTreeMap<String, String>) -> Option<Failed> {
        let queue = &self.work.queue;
        let declared = queue.device_model.as_ref()?;
        let facts = [("device_model", declared), ("governor", &queue.governor)];
        facts.into_iter().find_map(|(fact, declared)| {
            let found = environment.get(fact).filter(|found| *found != declared)?;
            let host = environment.get("host").map_or("the node", String::as_str);
            let message = format!("the {fact} of {host} is `{found}`, and slurm.{fact} says `{declared}`");
            let hint = format!("set slurm.{fact} to what the nodes have, or choose other nodes with slurm.sbatch");
            Some(Failed { hint: Some(hint), ..Failed::new(message) })
        })
    }

    pub(super) fn tell_sight(&mut self, job: &str, sight: &Sight) {
        let Sight::Waiting { reason } = sight else { return };
        if *reason != self.told {
            self.told.clone_from(reason);
            let obstacle = obstacle(reason).map(str::to_owned);
            (self.tell)(Happening::Queued { job: job.to_owned(), reason: reason.clone(), obstacle });
        }
    }

    pub(super) fn silence(&mut self, why: &str) {
        if !std::mem::replace(&mut self.silent, true) {
            let message = format!("the cluster's controller does not answer ({why}): waiting for it");
            (self.tell)(Happening::Log { level: Level::Warn, message });
        }
    }

    pub(super) fn heard_controller(&mut self) {
        if std::mem::take(&mut self.silent) {
            let message = "the cluster's controller answers again".to_owned();
            (self.tell)(Happening::Log { level: Level::Info, message });
        }
    }

    /// Rests, unless the user's wishes change.
    pub(super) fn rest(&mut self, pause: Duration) {
        let (until, wish) = (Instant::now() + pause, self.wish);
        while self.wish == wish && Instant::now() < until {
            self.hear((until - Instant::now()).min(LOOK_EVERY[1]));
        }
    }

    /// Waits for the user's wishes, for so long at most.
    pub(super) fn hear(&mut self, pause: Duration) {
        let wish = match self.inbox.recv_timeout(pause) {
            Ok(Mail::Stop) => Wish::End,
            Ok(Mail::Kill) => Wish::Kill,
            Ok(Mail::Leave) => Wish::Leave,
            // Workers of the queue send no mail.
            Ok(Mail::Event(_) | Mail::Noise(_) | Mail::Closed) | Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => Wish::Leave,
        };
        self.wish = if wish > self.wish { wish } else { self.wish };
    }
}

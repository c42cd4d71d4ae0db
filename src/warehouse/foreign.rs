//! Delta tables that other programs write, as [`crate::storage`] asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::delta::DeltaLog;
use crate::error::Result;
use crate::storage::{DeltaFolder, DeltaLogs, DeltaVersion};

/// Reads logs on the network threads.
#[derive(Debug)]
struct ForeignLogs {
    network: Handle,
}

/// What reads the logs of Delta tables in a LOCATION.
pub fn foreign_logs(network: Handle) -> Arc<dyn DeltaLogs> {
    Arc::new(ForeignLogs { network })
}

#[async_trait]
impl DeltaLogs for ForeignLogs {
    async fn newest(&self, table: DeltaFolder) -> Result<DeltaVersion> {
        let log = {
            // Its engine takes the runtime it is made in.
            let _runtime = self.network.enter();
            DeltaLog::open(table.store, &table.url, &table.name, table.is_local)?
        };
        let task = self.network.spawn(async move {
            let version = log.load().await?;
            log.described(&version)
        });
        task.await
            .unwrap_or_else(|error| Err(crate::runtime::panic_error(error)))
    }
}

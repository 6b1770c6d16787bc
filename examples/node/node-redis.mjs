// redis-hll by node-redis, the package `redis`:
//
//     node node-redis.mjs redis://127.0.0.1:6379 [3 | 2]                           a server, in RESP3 or RESP2
//     node node-redis.mjs redis://127.0.0.1:6379 [3 | 2] cluster KEY KEY KEY       a cluster, by HLL.CLUSTER
//
// A line of JSON for each answer. The package has no method for commands of modules; `sendCommand` takes their words. A client of a
// cluster wants to be told the first key as well, which is what it routes by, and whether the command only reads.
import { RESP_TYPES, createClient, createCluster } from 'redis';
import { across, tour } from './tour.mjs';

const [url, protocol = '3', mode = 'server', ...keys] = process.argv.slice(2);
const RESP = Number(protocol);

if (mode === 'cluster') {
  const cluster = await createCluster({ rootNodes: [{ url }], RESP }).connect();
  await across((key, writes, words) => cluster.sendCommand(key, !writes, words), keys);
  await cluster.close();
} else {
  const client = await createClient({ url, RESP }).connect();
  const asBytes = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };
  await tour(words => client.sendCommand(words), words => client.sendCommand(words, asBytes));
  await client.close();
}

// redis-hll by ioredis:
//
//     node ioredis.mjs redis://127.0.0.1:6379 [3 | 2]                           a server, in RESP3 or RESP2
//     node ioredis.mjs redis://127.0.0.1:6379 [3 | 2] cluster KEY KEY KEY       a cluster, by HLL.CLUSTER
//
// A line of JSON for each answer. `call` takes the words of any command, `callBuffer` gives texts as Buffers. What RESP3 has in maps and
// doubles comes as such only with `replyMapping: 'resp3'`. Of commands that it does not know ioredis does not know the keys either: its
// client of a cluster asks some node, which redirects it.
import { Cluster, Redis } from 'ioredis';
import { across, tour } from './tour.mjs';

const [url, protocol = '3', mode = 'server', ...keys] = process.argv.slice(2);
const options = protocol === '2' ? { protocol: 2 } : { protocol: 3, replyMapping: 'resp3' };

if (mode === 'cluster') {
  const { hostname, port } = new URL(url);
  const cluster = new Cluster([{ host: hostname, port: Number(port) }], { redisOptions: options });
  await across((key, writes, words) => cluster.call(...words), keys);
  await cluster.quit();
} else {
  const client = new Redis(url, options);
  await tour(words => client.call(...words), words => client.callBuffer(...words));
  await client.quit();
}

// What a program does with redis-hll, the same by either client library: node-redis.mjs and ioredis.mjs say how a command is sent.
//
// A reply with fields is a map in RESP3 and a flat list of names and values in RESP2, and a number that need not be whole is a number
// in the one and a text in the other: `fields` and `Number` make the same of both. Words of commands are texts or Buffers.

/** The fields of a reply as an object. */
export function fields(reply) {
  if (!Array.isArray(reply)) return reply;
  const found = {};
  for (let i = 0; i < reply.length; i += 2) found[reply[i]] = reply[i + 1];
  return found;
}

const show = (question, answer) => console.log(JSON.stringify({ question, answer }));

/** Sketches and a cube on a server. `send(words)` gives the reply, `sendForBytes(words)` the same with texts as Buffers. */
export async function tour(send, sendForBytes) {
  // Many elements go with one command, a few hundred at a time.
  const users = (from, to) => Array.from({ length: to - from }, (_, i) => `user:${from + i}`);
  await send(['HLL.CREATE', '{tour}:mon', 'PRECISION', '12']);
  for (const [key, from, to] of [['{tour}:mon', 0, 3000], ['{tour}:tue', 2000, 6000]])
    for (let start = from; start < to; start += 500) await send(['HLL.ADD', key, ...users(start, start + 500)]);

  const found = fields(await send(['HLL.ESTIMATE', '2', '{tour}:mon', '{tour}:tue']));
  show('estimate', [found.estimate, found.lower, found.upper].map(Number));
  const steps = (await send(['HLL.FUNNEL', '2', '{tour}:mon', '{tour}:tue'])).map(fields);
  show('funnel', steps.map(step => [step.step, Number(step.users), Number(step.conversion)]));

  await send(['HLL.CUBE.CREATE', '{tour}:shop', 'DIMENSION', 'device', 'MEASURE', 'revenue']);
  const at = 1764000000000;
  await send(['HLL.CUBE.ADD', '{tour}:shop', String(at), 'ada', 'device', 'mobile', 'revenue', '59.9']);
  await send(['HLL.CUBE.MADD', '{tour}:shop', 'FIELDS', '2', 'device', 'revenue', 'ROWS',
    String(at + 1000), 'grace', 'desktop', '', String(at + 2000), 'ada', 'mobile', '10', String(at + 3000), 'barbara', 'mobile', '']);
  const queried = fields(await send(['HLL.CUBE.QUERY', '{tour}:shop', 'BY', 'device', 'METRICS', '3', 'unique', 'events', 'revenue']));
  show('query', queried.rows.map(fields).map(row => [row.device, Number(row.unique), Number(row.events), Number(row.revenue)]));
  const top = fields(await send(['HLL.CUBE.TOP', '{tour}:shop', 'device', '1']));
  show('top', top.rows.map(fields).map(row => [row.device, Number(row.unique)]));

  // The payload is bytes and no text: decoded as one it would be damaged.
  const payload = await sendForBytes(['HLL.EXPORT', '{tour}:tue']);
  show('export', payload.toString('base64'));
  await send(['HLL.IMPORT', '{tour}:copy', 'FORMAT', 'NATIVE', payload]);
  show('copy', await send(['HLL.COUNT', '{tour}:copy']));
}

/** Every subcommand of HLL.CLUSTER about three keys in any slots, each of them once the first. `send(key, writes, words)`: the first key
 *  is what a client goes by. */
export async function across(send, keys) {
  for (let turn = 0; turn < keys.length; turn++) {
    const [a, b, c] = [...keys.slice(turn), ...keys.slice(0, turn)];
    for (const words of [
      ['COUNT', a, b, c],
      ['ESTIMATE', '3', a, b, c],
      ['INTERSECT', '2', a, b],
      ['SEGMENT', 'ALL', '1', a, 'NONE', '1', b],
      ['OVERLAP', '3', a, b, c],
      ['FUNNEL', '3', a, b, c],
      ['RETENTION', 'COHORTS', '1', a, 'PERIODS', '2', b, c],
      ['CAMPAIGN', a, b, c],
      ['MERGE', a, b],
    ]) show(words, await send(a, words[0] === 'MERGE', ['HLL.CLUSTER', ...words]));
  }
}

//! redis-hll by redis-rs, the crate `redis`:
//!
//! ```text
//! cargo run -- redis://127.0.0.1:6379 [3 | 2]                          a server, in RESP3 or RESP2
//! cargo run -- redis://127.0.0.1:6379 [3 | 2] cluster KEY KEY KEY      a cluster, by HLL.CLUSTER
//! ```
//!
//! A line of JSON for each answer. `redis::cmd` takes the words of any command. A reply with fields becomes a `HashMap` whether it is
//! a map (RESP3) or a flat list of names and values (RESP2), and a number that need not be whole an `f64` whether it is a double or a
//! text; payloads are `Vec<u8>`. A client of a cluster takes the first word after the name for the key, which of HLL.CLUSTER it is
//! not, and follows the redirection that comes.

use std::collections::HashMap;
use std::env;

use redis::cluster::ClusterClient;
use redis::{
    Client, ConnectionLike, FromRedisValue, IntoConnectionInfo, ProtocolVersion, RedisResult,
    Value, cmd, from_redis_value_ref,
};
use serde_json::{Value as Json, json};

type Fields = HashMap<String, Value>;

fn show(question: impl Into<Json>, answer: impl Into<Json>) {
    println!("{}", json!({"question": question.into(), "answer": answer.into()}));
}

/// One field of a reply, as what it is to be.
fn field<T: FromRedisValue>(fields: &Fields, name: &str) -> RedisResult<T> {
    Ok(from_redis_value_ref(&fields[name])?)
}

/// Sketches and a cube on a server.
fn tour(c: &mut impl ConnectionLike) -> RedisResult<()> {
    let (mon, tue, shop) = ("{tour}:mon", "{tour}:tue", "{tour}:shop");
    cmd("HLL.CREATE").arg(mon).arg("PRECISION").arg(12).exec(c)?;
    // Many elements go with one command, a few hundred at a time.
    for (key, from, to) in [(mon, 0, 3000), (tue, 2000, 6000)] {
        for start in (from..to).step_by(500) {
            let users: Vec<String> = (start..start + 500).map(|n| format!("user:{n}")).collect();
            cmd("HLL.ADD").arg(key).arg(users).exec(c)?;
        }
    }

    let found: Fields = cmd("HLL.ESTIMATE").arg(2).arg(mon).arg(tue).query(c)?;
    let figures = ["estimate", "lower", "upper"].map(|name| field::<f64>(&found, name));
    show("estimate", figures.into_iter().collect::<RedisResult<Vec<_>>>()?);
    let steps: Vec<Fields> = cmd("HLL.FUNNEL").arg(2).arg(mon).arg(tue).query(c)?;
    let mut rows = Vec::new();
    for step in &steps {
        let (name, users): (String, f64) = (field(step, "step")?, field(step, "users")?);
        rows.push(json!([name, users, field::<f64>(step, "conversion")?]));
    }
    show("funnel", rows);

    cmd("HLL.CUBE.CREATE").arg(shop).arg("DIMENSION").arg("device").arg("MEASURE").arg("revenue").exec(c)?;
    let at = 1_764_000_000_000_u64;
    cmd("HLL.CUBE.ADD").arg(shop).arg(at).arg("ada").arg("device").arg("mobile").arg("revenue").arg(59.9).exec(c)?;
    let mut many = cmd("HLL.CUBE.MADD");
    many.arg(shop).arg("FIELDS").arg(2).arg("device").arg("revenue").arg("ROWS");
    for (after, user, device, revenue) in
        [(1000, "grace", "desktop", ""), (2000, "ada", "mobile", "10"), (3000, "barbara", "mobile", "")]
    {
        many.arg(at + after).arg(user).arg(device).arg(revenue);
    }
    many.exec(c)?;
    let queried: Fields = cmd("HLL.CUBE.QUERY")
        .arg(shop)
        .arg("BY")
        .arg("device")
        .arg("METRICS")
        .arg(3)
        .arg("unique")
        .arg("events")
        .arg("revenue")
        .query(c)?;
    let mut rows = Vec::new();
    for row in field::<Vec<Fields>>(&queried, "rows")? {
        let (device, unique): (String, f64) = (field(&row, "device")?, field(&row, "unique")?);
        rows.push(json!([device, unique, field::<f64>(&row, "events")?, field::<f64>(&row, "revenue")?]));
    }
    show("query", rows);
    let top: Fields = cmd("HLL.CUBE.TOP").arg(shop).arg("device").arg(1).query(c)?;
    let mut rows = Vec::new();
    for row in field::<Vec<Fields>>(&top, "rows")? {
        rows.push(json!([field::<String>(&row, "device")?, field::<f64>(&row, "unique")?]));
    }
    show("top", rows);

    // The payload is bytes and no text.
    let payload: Vec<u8> = cmd("HLL.EXPORT").arg(tue).query(c)?;
    let text: String = cmd("HLL.EXPORT").arg(tue).arg("BASE64").query(c)?;
    show("export", text);
    cmd("HLL.IMPORT").arg("{tour}:copy").arg("FORMAT").arg("NATIVE").arg(payload).exec(c)?;
    show("copy", cmd("HLL.COUNT").arg("{tour}:copy").query::<u64>(c)?);
    Ok(())
}

/// Every subcommand of HLL.CLUSTER about three keys in any slots, each of them once the first.
fn across(c: &mut impl ConnectionLike, keys: &[String]) -> RedisResult<()> {
    for turn in 0..keys.len() {
        let key = |n: usize| keys[(turn + n) % keys.len()].as_str();
        let (a, b, d) = (key(0), key(1), key(2));
        for words in [
            vec!["COUNT", a, b, d],
            vec!["ESTIMATE", "3", a, b, d],
            vec!["INTERSECT", "2", a, b],
            vec!["SEGMENT", "ALL", "1", a, "NONE", "1", b],
            vec!["OVERLAP", "3", a, b, d],
            vec!["FUNNEL", "3", a, b, d],
            vec!["RETENTION", "COHORTS", "1", a, "PERIODS", "2", b, d],
            vec!["CAMPAIGN", a, b, d],
            vec!["MERGE", a, b],
        ] {
            let reply: Value = cmd("HLL.CLUSTER").arg(&words).query(c)?;
            show(words, plain(&reply));
        }
    }
    Ok(())
}

/// A reply as JSON.
fn plain(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Int(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::BulkString(bytes) => json!(String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) => json!(text),
        Value::Okay => json!("OK"),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Map(pairs) => pairs.iter().flat_map(|(name, value)| [plain(name), plain(value)]).collect(),
        other => json!(format!("{other:?}")),
    }
}

fn main() -> RedisResult<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let url = words.first().map_or("redis://127.0.0.1:6379", String::as_str);
    let protocol = match words.get(1).map(String::as_str) {
        Some("2") => ProtocolVersion::RESP2,
        _ => ProtocolVersion::RESP3,
    };
    if words.get(2).is_some_and(|mode| mode == "cluster") {
        let client = ClusterClient::builder(vec![url]).use_protocol(protocol).build()?;
        across(&mut client.get_connection()?, &words[3..])
    } else {
        let info = url.into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(protocol);
        tour(&mut Client::open(info.set_redis_settings(settings))?.get_connection()?)
    }
}

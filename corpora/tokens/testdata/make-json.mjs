// Trains small byte-level BPEs on the texts of golden.json, writes them as
// tokenizer.json files of the forms in use, and golden-json.json: what Hugging
// Face's library makes of each text. How to run it is in README.md.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import hf from "tokenizers";

const golden = JSON.parse(readFileSync("golden.json", "utf8"));

// GPT-2's way to write bytes as visible characters.
const visible = (b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
const symbol = [];
for (let b = 0, n = 0; b < 256; b++) symbol.push(String.fromCodePoint(visible(b) ? b : 256 + n++));
const write = (text) => Array.from(Buffer.from(text, "utf8"), (b) => symbol[b]).join("");

const level = (use_regex) => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex });
const split = (Regex) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });
const document = (o) => ({
  version: "1.0", truncation: null, padding: null, added_tokens: o.added ?? [], normalizer: o.normalizer ?? null,
  pre_tokenizer: o.pre, post_processor: o.post ?? null, decoder: level(true), model: o.model,
});
const added = (id, content, special = true) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special });

// train merges the most frequent pair (of equals the first in code-point
// order), until so many merges are made.
function train(o, merges) {
  const empty = hf.Tokenizer.fromString(JSON.stringify(document({ ...o, added: [], post: null, model: { type: "BPE", vocab: { a: 0 }, merges: [] } })));
  const counts = new Map();
  for (const { text } of golden.texts) {
    const normal = o.normalizer && o.normalizer.normalizers?.length !== 0 ? text.normalize("NFC") : text;
    for (const [word] of empty.getPreTokenizer().preTokenizeString(normal)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const words = Array.from(counts, ([word, n]) => ({ parts: Array.from(word), n }));
  const vocab = Object.fromEntries([...symbol].sort().map((s, i) => [s, i]));
  const list = [];
  while (list.length < merges) {
    const pairs = new Map();
    for (const { parts, n } of words) for (let i = 0; i + 1 < parts.length; i++) {
      const key = parts[i] + " " + parts[i + 1];
      pairs.set(key, (pairs.get(key) ?? 0) + n);
    }
    let best = null;
    for (const [key, n] of pairs) if (best === null || n > best[1] || (n === best[1] && key < best[0])) best = [key, n];
    if (best === null) break;
    const [a, b] = best[0].split(" ");
    list.push([a, b]);
    vocab[a + b] ??= Object.keys(vocab).length;
    for (const w of words) {
      const next = [];
      for (let i = 0; i < w.parts.length; i++) {
        if (i + 1 < w.parts.length && w.parts[i] === a && w.parts[i + 1] === b) { next.push(a + b); i++; } else next.push(w.parts[i]);
      }
      w.parts = next;
    }
  }
  return { vocab, list };
}

// Whole words that no merge makes: with ignore_merges they are used, otherwise
// they are not.
const unreachable = [" ferry", "doubted", " Überfahrt", "没有人知道", " туман", "12", "   ", "!?", "é"];
const gpt2 = "ByteLevel alone";
const cl100k = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const qwen = cl100k.replace("\\p{N}{1,3}", "\\p{N}");
const contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
const notHan = "&&[^\\p{Han}]]";
const kimi = [
  "[\\p{Han}]++",
  `[^\\r\\n\\p{L}\\p{N}]?+[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}${notHan}*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}${notHan}+${contraction}`,
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}${notHan}+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}${notHan}*${contraction}`,
  "\\p{N}{1,3}", " ?[^\\s\\p{L}\\p{N}]++[\\r\\n/]*+", "\\s*[\\r\\n]+", "\\s+(?!\\S)", "\\s+",
].join("|");
// The three of DeepSeek V3, R1 and V4; the last has the line ends themselves.
const deepseek = [
  "\\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
];
// What looks around sees the piece of the stage before, not the text.
const borders = ["\\d{1,2}(?=\\p{L})|\\s\\s(?!\\n)|(?<=\\p{Lu})\\P{L}", "(?<!\\S)\\p{L}(?=\\p{L})|'\\p{L}+(?!\\p{L})|[.,!](?=\\s)|(?<=e)t", "\\p{L}{1,5}(?!\\p{Ll})|\\s+(?!\\S)"];
const forms = {
  gpt2: { pre: level(true), merges: 1500, old: true, twice: true },
  llama3: { pre: { type: "Sequence", pretokenizers: [split(cl100k), level(false)] }, merges: 1500, lists: true, ignore_merges: true },
  qwen: { pre: { type: "Sequence", pretokenizers: [split(qwen), level(false)] }, normalizer: { type: "NFC" }, merges: 1500 },
  kimi: { pre: { type: "Sequence", pretokenizers: [split(kimi), level(false)] }, merges: 600, lists: true },
  stages: { pre: { type: "Sequence", pretokenizers: [split("(?i:[ms]s?+|'k)|[\\-x]\\d{1,2}+|[^\\D1-3]|(?<=e)\\P{Ll}(?=.)"), level(true)] }, normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }] }, merges: 300 },
  deepseek: { pre: { type: "Sequence", pretokenizers: [...deepseek.map(split), level(false)] }, normalizer: { type: "Sequence", normalizers: [] }, merges: 600 },
  borders: { pre: { type: "Sequence", pretokenizers: [...borders.map(split), level(true)] }, merges: 200, lists: true },
};

// Texts that a normalizer changes, besides those of golden.json.
const more = {
  decomposed: "Cafe\u0301 A\u030angstro\u0308m \u1112\u1161\u11ab\u1100\u1173\u11af e\u0302\u0323 \u1ec7 q\u0307\u0323 s\u0323\u0307",
  singletons: "\u212b \u2126 \u212a \uf900\ufa10 \u2000\u2001 \u0340\u0341\u0344 \u1fee \u037e",
  exclusions: "\u0958 \u0915\u093c \ufb1d \u05d9\u05b4 \u{1d15e} \u2adc \u0f73 \u0f71\u0f72",
  blocked: "a\u0327\u0301 a\u0301\u0327 a\u0315\u0300\u05ae\u0062 \u0b47\u0300\u0b3e \u1100\u0300\u1161",
  hangul: "\uac00\u11a8 \uac00\u0323\u11a8 \u1100\u1161\u11a7\u11a8 \uac01\u11a8 \ua960\u1161",
  marks31: "a" + "\u0301".repeat(31) + "b", marks60: "e" + "\u0323\u0301".repeat(30) + " \u0344".repeat(20) + "\u0344".repeat(40),
  vowelSign: "e\u0b56\u0327 a\u{110ba}\u0301 \u0b47\u0327\u0b3e", leading: "\u0301\u0323a", version: "#version #version: 0.2 a", greek: "\u1fb7 \u03b1\u0345\u0342 \u03b1\u0342\u0345 \u1f82",
};

// What Unicode 16 and 17 added: the library's regular expressions know 16.0, Go
// knows 15.0, so the sweep leaves these out. They are tested apart, as later.
const after15 = `
  88F 897 C5C CDC 1ACF-1ADD 1AE0-1AEB 1B4E-1B4F 1B7F 1C89-1C8A 20C1 2427-2429 2B96 2FFC-2FFF 31E4-31E5 31EF A7CB-A7CF A7D2 A7D4 A7DA-A7DC A7F1 FBC3-FBD2
  FD90-FD91 FDC8-FDCE 105C0-105F3 10940-10959 10D40-10D65 10D69-10D85 10D8E-10D8F 10EC2-10EC7 10ED0-10ED8 10EFA-10EFC 11380-11389 1138B 1138E
  11390-113B5 113B7-113C0 113C2 113C5 113C7-113CA 113CC-113D5 113D7-113D8 113E1-113E2 116D0-116E3 11B60-11B67 11BC0-11BE1 11BF0-11BF9 11DB0-11DDB
  11DE0-11DE9 11F5A 13460-143FA 16100-16139 16D40-16D79 16EA0-16EB8 16EBB-16ED3 16FF2-16FF6 187F8-187FF 18CFF 18D09-18D1E 18D80-18DF2 1CC00-1CCFC
  1CD00-1CEB3 1CEBA-1CED0 1CEE0-1CEF0 1E5D0-1E5FA 1E5FF 1E6C0-1E6DE 1E6E0-1E6F5 1E6FE-1E6FF 1F6D8 1F777-1F77A 1F8B2-1F8BB 1F8C0-1F8C1 1F8D0-1F8D8
  1FA54-1FA57 1FA89-1FA8A 1FA8E-1FA8F 1FABE 1FAC6 1FAC8 1FACD 1FADC 1FADF 1FAE9-1FAEA 1FAEF 1FBCB-1FBEF 1FBFA 2B73A-2B73F 2CEA2-2CEAD 2EBF0-2EE5D
  323B0-33479`.trim().split(/\s+/).map((r) => r.split("-").map((x) => parseInt(x, 16)));
const unassigned = (c) => /\p{Cn}/u.test(String.fromCodePoint(c)) || after15.some(([lo, hi = lo]) => c >= lo && c <= hi);
const sha = (ids) => createHash("sha256").update(Buffer.from(Uint32Array.from(ids).buffer)).digest("hex");
// Texts drawn from characters of every kind that a pattern tells apart; the
// alphabet is that of huggingface_test.go.
const everyKind = Array.from("aabeestxyzABEMſ'’!.,-/\\#$^`~_[]{}|<>«»—…  \t\r\n\u000b\u0085\u00a0\u2003\u2028\u3000\u200b\u00ad019٣४①½Ⅷ\u0301\u0323\u20dd\u094d龥一\u9fa6ぁゟ\u3040\u309a゠ヿ・ーㇰ中한ñéßøЖдαאع्कก😀👩\u200d✓€©\ue000\u{20000}\u{1d7d8}\u0000\u001b");
const drawn = [];
for (let i = 0, state = 12345; i < 4000; i++) {
  const draw = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return (state >>> 16) % n; };
  let text = "";
  for (let n = 1 + draw(24); n > 0; n--) { const c = everyKind[draw(everyKind.length)]; text += c.repeat(draw(4) ? 1 : 1 + draw(4)); }
  drawn.push(text);
}
const result = {};
for (const [name, o] of Object.entries(forms)) {
  const { vocab, list } = train(o, o.merges);
  for (const word of unreachable) vocab[write(word)] ??= Object.keys(vocab).length;
  if (o.twice) list.push(list[40]); // of a merge given twice the later rank counts
  const model = { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: o.ignore_merges ?? false };
  if (o.old) {
    for (const field of ["type", "byte_fallback", "ignore_merges"]) delete model[field];
    model.continuing_subword_prefix = model.end_of_word_suffix = "";
  }
  const size = Object.keys(vocab).length;
  const special = ["<|endoftext|>", "<|im_start|>", "<think>", "<|im|>"].map((t, i) => added(size + 3 * i, t, i !== 2));
  if (o.old) { vocab["<|endoftext|>"] = size; special.length = 1; } else special.forEach((t, i) => { t.id = size + i; });
  model.vocab = vocab;
  model.merges = o.lists ? list : list.map((p) => p.join(" "));
  const post = { type: "TemplateProcessing", single: [{ SpecialToken: { id: "<|endoftext|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }], pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }], special_tokens: { "<|endoftext|>": { id: "<|endoftext|>", ids: [size], tokens: ["<|endoftext|>"] } } };
  const doc = document({ ...o, model, added: special, post });
  mkdirSync("json", { recursive: true });
  writeFileSync(`json/${name}.json`, JSON.stringify(doc));
  // The library never encodes ordinary text only where added tokens are known,
  // so the ids are made without them; where none occurs both must agree.
  const whole = hf.Tokenizer.fromString(JSON.stringify(doc));
  const bare = hf.Tokenizer.fromString(JSON.stringify({ ...doc, added_tokens: [], post_processor: null, model: { ...model, vocab: Object.fromEntries(Object.entries(vocab).filter(([t]) => t !== "<|endoftext|>")) } }));
  const ids = async (text) => {
    const got = (await bare.encode(text, null, { addSpecialTokens: false })).getIds();
    if (!special.some((t) => text.includes(t.content))) {
      const same = (await whole.encode(text, null, { addSpecialTokens: false })).getIds();
      if (same.join() !== got.join()) throw new Error(`${name}: added tokens change ${text}`);
    }
    return got;
  };
  const r = (result[name] = { texts: {}, more: {}, later: {}, long: {}, sweep: {} });
  for (const t of golden.texts) r.texts[t.name] = await ids(t.text);
  for (const [key, text] of Object.entries(more)) r.more[key] = { text, ids: await ids(text) };
  for (const l of golden.later) r.later[l.name] = await ids(l.text);
  for (const l of golden.long) { const got = await ids(l.unit.repeat(l.times)); r.long[l.name] = { count: got.length, sha256: sha(got) }; }
  for (const s of golden.sweep) {
    let text = "";
    for (let c = s.first; c < s.first + 4096; c++) { const x = String.fromCodePoint(c); if (!unassigned(c)) text += `a${x}B${x}${x}c1${x}2 ${x}\n`; }
    r.sweep[s.first] = sha(await ids(text));
  }
  const all = [];
  for (const text of drawn) for (const id of await ids(text)) all.push(id);
  r.drawn = sha(all);
}
// Normal forms of drawn texts, by this runtime's own tables; the alphabet is
// that of nfc_test.go.
const alphabet = Array.from("aeqAÅ\u00e9\u0301\u0302\u0323\u0327\u0344\u0345\u0338=가각\u1100\u1161\u11a8\u0b47\u0b3e\u0b56\u0915\u093c\u0958\u05d9\u05b4\ufb1d\u212b\uf900\u0f71\u0f72\u1fb7中 \u{1d15e}\u{11099}\u{110ba}");
let state = 1;
const draw = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return (state >>> 16) % n; };
const normal = createHash("sha256");
for (let i = 0; i < 50000; i++) {
  let text = "";
  for (let n = 1 + draw(9); n > 0; n--) text += alphabet[draw(alphabet.length)];
  normal.update(text.normalize("NFC") + "\n");
}
result.qwen.nfc = normal.digest("hex");
const lines = (o, depth) => depth === 0 || typeof o !== "object" ? JSON.stringify(o) : "{\n" + Object.entries(o).map(([k, v]) => JSON.stringify(k) + ": " + lines(v, depth - 1)).join(",\n") + "\n}";
writeFileSync("golden-json.json", lines(result, 3) + "\n");

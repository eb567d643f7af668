// Writes golden.json: what the reference implementation makes of each text.
// How to run it is in README.md. Texts are original or single characters.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { get_encoding } from "tiktoken";

const texts = {
  empty: "",
  english: "The ferry left before the fog had lifted, and nobody on the pier could say whether it carried Anna's letters or only the empty crates. \"We'll know by Tuesday,\" he said; she doubted it.",
  contractions: "I'm it's we're they've he'd she'll can't IT'S WE'RE THEY'VE HE'D SHE'LL I'M o'clock 'tis 'Re 'VE'll''s 'x 'r 'l 'v '",
  longS: "it'ſ 'ſo 'ſ Congreſs",
  kelvin: "K 300 K 'K'K Å Å ﬁ ﬂ",
  case: "camelCase PascalCase HTTPServer XMLHttpRequest iPhone McDonald ABCdef abcDEF aBcDeF ÄÖÜäöü ǅungla ǅ ʰA Aʰ ʰʰA ʰAʰB",
  marks: "é a\u0301\u0302b \u0301A \u0301\u0301 e\u0301'S n\u0303o \u0300 1\u0301 A\u0300B\u0301c",
  numbers: "1 12 123 1234 12345 3.14159 1,000,000 0x1F 2026-11-23T09:17 ٣٤٥٦ ½ ²³ Ⅷ 一二三 １２３４",
  whitespace: " a  b   c\tb\t\tc\n\nd \n e\r\nf\r\r\ng   \n   h\u00a0i\u2003j\u3000k\u2028l\u0085m \u200bz end   ",
  trailing: "word \n",
  spaces: "   ",
  newlines: "\n\n\n\r\n\r",
  mixedBlank: "\t \n \t x\n \u00a0\n\ny \u00a0 z",
  symbols: "!@#$%^&*() -- --- ... … «quoted» “quoted” ‘q’ a/b//c /// \n/ x/\n/\r\n//y <|im|> {{}} [[ ]] ~~ `` €£¥ ©®™ §¶ ∀x∈ℝ: ⌈x⌉ ≥ x",
  special: "<|endoftext|> <|fim_prefix|><|fim_middle|><|fim_suffix|> <|endofprompt|>",
  code: "func (s *Server) handle(w http.ResponseWriter, r *http.Request) error {\n\tif r.Method != \"GET\" {\n\t\treturn fmt.Errorf(\"bad method %q\", r.Method)\n\t}\n\treturn nil\n}\n",
  python: "def area(r: float) -> float:\n    \"\"\"Return the area.\"\"\"\n    return 3.141592653589793 * r ** 2  # m²\n\n\nclass Shape:\n    pass\n",
  html: "<div class=\"row\" style='color:#ff00aa'><a href=\"/x?y=1&z=2\">link</a></div>\n<!-- note -->",
  markdown: "# Title\n\n1. one\n2. two\n   - nested\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```sh\nls -la | grep 'x'\n```\n",
  german: "Der Fährmann wußte längst, daß die Überfahrt im Oktober schwieriger würde; trotzdem löste er die Taue.",
  french: "L'été dernier, nous n'avions pas prévu qu'il ferait si chaud près de l'île : où étaient-elles ?",
  spanish: "¿Dónde está el niño? ¡Aquí, en el último vagón del tren de las 7:45!",
  portuguese: "A manhã começou com chuva, mas à tarde o céu abriu e as crianças saíram.",
  polish: "Zażółć gęślą jaźń, powiedział żeglarz, zanim łódź odpłynęła.",
  turkish: "İstanbul'da ılık bir akşam, ışıklar IŞIK gibi yanıyordu.",
  vietnamese: "Buổi sáng hôm ấy, trời nhiều mây nhưng không mưa.",
  russian: "Паром ушёл до того, как рассеялся туман, и никто не знал, что в ящиках.",
  greek: "Το πλοίο έφυγε πριν σηκωθεί η ομίχλη· κανείς δεν ήξερε ΓΙΑΤΊ.",
  hebrew: "הסירה יצאה לפני שהערפל התפזר, ואיש לא ידע מדוע. שָׁלוֹם",
  arabic: "غادرت العبّارة قبل أن ينقشع الضباب، ولم يعرف أحد السبب.",
  hindi: "कोहरा छँटने से पहले नाव चली गई, और किसी को कारण नहीं पता था।",
  bengali: "কুয়াশা কাটার আগেই নৌকা ছেড়ে গেল।",
  tamil: "மூடுபனி விலகும் முன் படகு புறப்பட்டது.",
  thai: "เรือออกไปก่อนที่หมอกจะจาง และไม่มีใครรู้ว่าทำไม",
  chinese: "渡轮在雾散之前就离开了，没有人知道箱子里装的是什么。第3页共12页。",
  traditional: "渡輪在霧散之前就離開了，誰也說不清為什麼。",
  japanese: "霧が晴れる前にフェリーは出発し、箱の中身は誰も知らなかった。ﾊﾝｶｸ カタカナ ー",
  korean: "안개가 걷히기 전에 배는 떠났고, 상자 안에 무엇이 있는지 아무도 몰랐다. ᄒᆞᆫ글",
  georgian: "ბორანი ნისლის გაფანტვამდე წავიდა. ᲑᲝᲠᲐᲜᲘ",
  armenian: "Նավը մեկնեց մինչև մառախուղի ցրվելը։",
  amharic: "ጀልባው ጭጋጉ ከመነሳቱ በፊት ሄደ።",
  emoji: "👍🏽 👩‍👩‍👧‍👦 🇨🇭🇯🇵 ❤️‍🔥 1️⃣ 🫠🫡 x🙂y 🧑🏿‍🚀!",
  math: "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟏𝟐𝟑 𝑎𝑏𝑐 ℏω = ΔE ∑ᵢ xᵢ² ₁₂₃",
  rare: "𐍈𐌰𐌹 𒀀𒁀 𓀀𓁐 ꙮ ꜩ Ꞌ ꟷ ᚠᚢᚦ ⰀⰁ 𞤀𞤢 𠀀𠮷",
  controls: "a\u0000b\u0001\u0002\u001b[31mred\u001b[0m\u007f\u009f\ufeffbom\u200e\u202eabc\u202c",
  noncharacters: "\uffff \ufffe \u{10ffff} \ufdd0 \ue000 \u{f0000} \ufffd\ufffd",
  zalgo: "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031ea\u0348\u035e\u0347l\u0334g\u0310o",
  alternating: "aAaAaAaA1a1A1 -a-A-1 _a_A __init__ a_b_C a-b-C a.b.C",
  base64: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  hex: "deadbeefDEADBEEF0123456789abcdef00ff00ff7f",
  url: "https://example.org/a/b/c.html?q=%F0%9F%98%80&x=[1]#frag https://münchen.example/straße",
  words: "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschifffahrtsgesellschaftskapitän",
  indent: "if x:\n        if y:\n                z\n\t\t\tw\n            \n        v",
  dashes: "-".repeat(97) + "=".repeat(130) + "\n" + "*".repeat(33) + " " + "_".repeat(65) + "#",
  longSpaces: " ".repeat(83) + "x" + " ".repeat(200) + "\n" + " ".repeat(129),
};

// Long pieces: too long to list, so the number of ids and the SHA-256 of the
// ids as little-endian 32-bit words stand for them.
const long = {
  a3000: ["a", 3000], a80000: ["a", 80000], A5000: ["A", 5000], ab5000: ["ab", 5000], abc: ["abc", 4001],
  zero: ["0", 5000], space: [" ", 9000], newline: ["\n", 9000], crlf: ["\r\n", 5000], dot: [".", 9001],
  bang: ["!?", 5000], cjk: ["中", 5000], hangul: ["가나", 3000], emoji: ["😀", 3000], mark: ["\u0301", 5000],
  arabicRun: ["لا", 4000], words: ["antidisestablishment", 500], acgt: ["ACGTTGCAAC", 800], nul: ["\u0000", 6000],
  mixed: ["aÄ中\u0301", 2000], tabs: ["\t ", 4000], modifier: ["ʰA", 2500], quote: ["'", 5000], slash: ["/\n", 3000],
};

// Every code point of the planes in use, in five contexts, in blocks of 4,096:
// the SHA-256 of the ids of each block.
const sweep = [];
for (let first = 0; first < 0x110000; first += 4096) {
  const plane = first >> 16;
  if ((first >= 0xd000 && first < 0xf000) || (plane > 3 && plane !== 14)) continue; // surrogates (and neighbours), unused planes
  let text = "";
  for (let c = first; c < first + 4096; c++) {
    const x = String.fromCodePoint(c);
    text += `a${x}B${x}${x}c1${x}2 ${x}\n`;
  }
  sweep.push([first, text]);
}

// Letters and digits assigned after Unicode 15.0, beside ordinary text.
const later = {
  cjkExtensionI: "x\u{2EBF0}\u{2EBF1} y",
  cyrillicTje: "a\u1C89\u1C8Ab \u1C8A",
  garay: "\u{10D4A}\u{10D4B}\u{10D70} \u{10D40}\u{10D41}",
  latin16: "a\uA7CB\uA7CDb \uA7DA",
  todhri: "\u{105C0}\u{105C1} x\u{105C2}y",
};

const encodings = { cl100k: get_encoding("cl100k_base"), o200k: get_encoding("o200k_base") };
const sha = (ids) => createHash("sha256").update(Buffer.from(Uint32Array.from(ids).buffer)).digest("hex");
const each = (f) => Object.fromEntries(Object.entries(encodings).map(([n, e]) => [n, f(e)]));
const ids = (text) => each((e) => Array.from(e.encode_ordinary(text)));
const golden = {
  texts: Object.entries(texts).map(([name, text]) => ({ name, text, ids: ids(text) })),
  long: Object.entries(long).map(([name, [unit, times]]) => ({
    name, unit, times,
    ...each((e) => { const r = e.encode_ordinary(unit.repeat(times)); return { count: r.length, sha256: sha(r) }; }),
  })),
  sweep: sweep.map(([first, text]) => ({ first, ...each((e) => sha(e.encode_ordinary(text))) })),
  later: Object.entries(later).map(([name, text]) => ({ name, text, ids: ids(text) })),
};
const lines = (items) => "[\n" + items.map((x) => "    " + JSON.stringify(x)).join(",\n") + "\n  ]";
writeFileSync("golden.json", `{\n  "texts": ${lines(golden.texts)},\n  "long": ${lines(golden.long)},\n  "sweep": ${lines(golden.sweep)},\n  "later": ${lines(golden.later)}\n}\n`);

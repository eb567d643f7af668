package reading

import "slices"

// Vendor is a maker of language models with the names of itself and of its models,
// as they are written in several scripts. Names are folded ([Fold]) and found as
// whole words.
type Vendor struct {
	ID string
	// Names hardly mean anything else.
	Names []string
	// Words mean other things, too: they name the vendor only where a model is
	// asked who it is.
	Words []string
}

// vendors are those of widely known models. Russian names are given in the cases
// that follow "I am", "made by" and "of". Where a word would be read inside others,
// as short ones would in scripts without blanks, it is left out.
var vendors = []Vendor{
	{"openai", []string{
		"openai", "open ai", "chatgpt", "chat gpt", "gpt", "gpt-3", "gpt-3.5", "gpt-4", "gpt-4o", "gpt-5",
		"오픈ai", "오픈에이아이", "챗gpt", "챗지피티", "オープンai", "チャットgpt", "опенэйай", "чатгпт", "чат gpt",
	}, nil},
	{"anthropic", []string{"anthropic", "claude", "앤트로픽", "앤스로픽", "클로드", "アンソロピック", "クロード", "антропик", "克劳德"}, []string{"клод"}},
	{"google", []string{
		"google", "gemini", "gemma", "deepmind", "google deepmind", "谷歌", "구글", "제미나이", "딥마인드", "グーグル", "ジェミニ",
		"гугл", "гугла", "гуглом", "джемини",
	}, []string{"bard"}},
	{"deepseek", []string{"deepseek", "deep seek", "深度求索", "딥시크", "ディープシーク", "дипсик"}, nil},
	{"alibaba", []string{
		"alibaba", "alibaba cloud", "qwen", "qwq", "tongyi", "通义", "通义千问", "千问", "阿里云", "阿里巴巴", "알리바바", "큐원", "アリババ",
		"алибаба", "алибабы", "алибабой",
	}, nil},
	{"mistral", []string{"mistral", "mistral ai", "mixtral", "codestral", "magistral", "devstral", "미스트랄", "ミストラル"}, []string{"le chat", "мистраль"}},
	{"meta", []string{"meta ai", "llama", "facebook"}, []string{"meta", "메타", "мета"}},
	{"moonshot", []string{"moonshot", "moonshot ai", "kimi", "月之暗面", "문샷"}, nil},
	{"minimax", []string{"minimax", "mini max", "稀宇", "미니맥스"}, nil},
	{"xai", []string{"xai", "x.ai", "grok", "그록"}, []string{"грок"}},
	{"cohere", []string{"cohere", "aya expanse"}, []string{"command r", "command a"}},
	{"microsoft", []string{"microsoft", "copilot", "微软", "마이크로소프트", "코파일럿", "マイクロソフト", "コパイロット", "майкрософт"}, nil},
	{"nvidia", []string{"nvidia", "nemotron", "英伟达", "엔비디아"}, nil},
	{"amazon", []string{"amazon nova", "amazon titan", "amazon bedrock"}, []string{"amazon", "aws", "亚马逊", "아마존"}},
	{"zhipu", []string{"zhipu", "zhipu ai", "z.ai", "chatglm", "chat glm", "glm", "智谱", "智谱清言"}, nil},
	{"baidu", []string{"baidu", "文心", "文心一言", "百度", "바이두"}, []string{"ernie"}},
	{"bytedance", []string{"bytedance", "doubao", "豆包", "字节跳动", "바이트댄스"}, []string{"seed"}},
	{"tencent", []string{"tencent", "hunyuan", "混元", "腾讯", "텐센트"}, nil},
	{"01.ai", []string{"01.ai", "零一万物"}, nil},
	{"baichuan", []string{"baichuan", "百川智能"}, nil},
	{"stepfun", []string{"stepfun", "step fun", "阶跃星辰"}, nil},
	{"iflytek", []string{"iflytek", "科大讯飞", "讯飞星火"}, nil},
	{"sensetime", []string{"sensetime", "sensenova", "商汤"}, nil},
	{"shanghai-ai-lab", []string{"internlm", "shanghai ai laboratory", "上海人工智能实验室", "书生·浦语"}, nil},
	{"huawei", []string{"huawei", "华为", "화웨이"}, []string{"pangu"}},
	{"xiaomi", []string{"xiaomi", "小米大模型"}, []string{"mimo"}},
	{"meituan", []string{"meituan", "longcat", "美团"}, nil},
	{"ai21", []string{"ai21", "ai21 labs", "jamba"}, nil},
	{"ibm", []string{"ibm granite"}, []string{"ibm", "granite"}},
	{"yandex", []string{"yandex", "yandexgpt", "яндекс", "яндекса", "яндексом", "яндексе"}, nil},
	{"sber", []string{"gigachat", "sberbank", "гигачат", "сбербанк", "сбербанка", "сбербанком"}, []string{"sber", "сбер", "сбера", "сбером", "сбере"}},
	{"naver", []string{"naver", "hyperclova", "네이버", "하이퍼클로바", "ネイバー"}, nil},
	{"kakao", []string{"카카오", "kanana"}, []string{"kakao"}},
	{"lg", []string{"lg ai research", "exaone", "엑사원"}, nil},
	{"samsung", []string{"samsung", "삼성"}, nil},
	{"upstage", []string{"upstage ai", "업스테이지"}, []string{"upstage"}},
	{"ai2", []string{"allen institute", "ai2", "olmo"}, nil},
	{"reka", []string{"reka ai"}, []string{"reka"}},
	{"databricks", []string{"databricks", "dbrx"}, nil},
	{"perplexity", []string{"perplexity ai"}, []string{"perplexity"}},
	{"stability", []string{"stability ai", "stablelm"}, nil},
	{"inflection", []string{"inflection ai"}, nil},
	{"character.ai", []string{"character.ai", "character ai"}, nil},
	{"aleph-alpha", []string{"aleph alpha", "pharia"}, nil},
	{"tii", []string{"technology innovation institute", "falcon llm"}, []string{"tii"}},
	{"liquid", []string{"liquid ai"}, nil},
	{"nous", []string{"nous research"}, nil},
	{"hugging-face", []string{"hugging face", "huggingface", "smollm"}, nil},
	{"sakana", []string{"sakana ai", "サカナai"}, nil},
	{"preferred-networks", []string{"preferred networks", "プリファードネットワークス"}, nil},
	{"sarvam", []string{"sarvam"}, nil},
	{"apple", []string{"apple intelligence"}, []string{"apple"}},
}

// Vendors returns the vendors of widely known models, in a fixed order.
func Vendors() []Vendor { return slices.Clone(vendors) }

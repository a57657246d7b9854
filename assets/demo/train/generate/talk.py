"""Small talk: greetings, thanks, moods, short words, text that means nothing."""

from .context import chat
from .noise import gibberish
from .tool_parts import TEXTS

TOPICS = {
    "hello": (["[hi|hello|hey|hiya|hello there|hi there|hey there|good day|greetings|yo|howdy|hallo|hey you|hi assistant|hello bot|hullo|heya][|!|.|!!| :)]", "[hi|hello|hey], [nice to meet you|how's it going|anyone there|good to see you|are you there][|!|?]", "[hello|hi|hey] [again|everyone|friend|my friend|robot|computer|PocketMLX][|!]", "[anyone|anybody|is anyone|is somebody] [there|here|home]?", "knock knock", "[test|testing|test test|this is a test|ping|1 2 3|test 123|just testing][|.|!]", "are you there?", "[can|do] you hear me?", "is [this|it|the mic|this chat|the bot] [on|working|live|ready|running][?|]", "let's [talk|chat|start|go|begin][|!]", "[start|begin|go]", "I want to [talk|chat]"],
              ["Hello! How can I help you?", "Hi! What can I do for you?"]),
    "morning": (["good morning[|!|.| to you]", "[morning|mornin'][|!]"], ["Good morning! How can I help you?"]),
    "evening": (["good [evening|afternoon][|!|.| to you]", "[evening|afternoon][|!]"], ["Good day! How can I help you?"]),
    "night": (["good night[|!|.]", "[sleep well|sweet dreams|nighty night|night night|I'm going to bed|off to bed|time for bed][|!]"], ["Good night! Sleep well."]),
    "bye": (["[bye|goodbye|bye bye|see you|see ya|cya|farewell|take care|so long|until next time|talk to you later|ttyl|later|ciao|gotta go|I have to go|I must go|I'm leaving|I'm done|that's all|that is all|quit|exit|end|stop|catch you later|have a nice day|have a good one][|!|.| now]", "[ok|okay|thanks], [bye|goodbye|see you|that's all][|!]"],
            ["Goodbye! Have a nice day."]),
    "thanks": (["[thanks|thank you|thx|thank you very much|thanks a lot|many thanks|cheers|thank you so much|much appreciated|ty|thanks so much|I appreciate it|great, thanks|ok thanks|perfect, thank you|thanks for your help|thank you for that|that helps|that was helpful|that helped][|!|.]"],
               ["You're welcome!"]),
    "feel": (["how are you[?|| doing?| today?| doing today?| feeling?|, my friend?]", "how's it going[?|]", "[how do you do|how have you been|how's life|how are things|you ok|are you ok|are you well|all good|what's up|sup|wassup|what's new|what are you doing|what are you up to|how was your day|how is your day][?|]", "[hi|hello|hey], how are you[?|| doing?| today?]", "[and you|and how are you|how about you]?", "are you [happy|sad|tired|busy|bored|hungry|fine|awake|angry|lonely]?"],
             ["I'm doing well, thank you. How can I help you?"]),
    "good": (["I'm [fine|good|well|great|okay|happy|very well|doing well|alright|not bad|so happy][|, thanks|, thank you| today|!]", "[fine|good|great|not bad|pretty good|all good][|, thanks|, and you?]", "[I had|I'm having] a [good|great|nice|lovely|wonderful] day[|!|.]", "[today was|it's been|it is] a [good|great|nice|beautiful] day[|!|.]", "I [got|passed|won|finished] [a new job|my exam|a prize|my project|the game][|!]", "I'm [excited|in love|feeling great|proud of myself][|!]"],
             ["That's good to hear!"]),
    "sad": (["I'm [sad|tired|lonely|not well|sick|upset|angry|stressed|unhappy|feeling down|depressed|worried|afraid|scared|exhausted|not happy|so tired|very sad][|.| today| :(]", "I [feel|am feeling] [sad|bad|lonely|terrible|awful|down|tired|sick|stressed|blue|unwell][|.| today]", "[I had|I'm having|it was] a [bad|terrible|hard|rough|awful|long] day[|.]", "[I miss|I lost|I broke up with] my [friend|dog|job|cat|girlfriend|boyfriend|mother|keys][|.]", "[nobody|no one] [likes|loves|understands] me[|.]", "life is [hard|unfair|difficult][|.]"],
            ["I'm sorry to hear that. I'm only a small program, but I'll gladly tell you a story.", "I'm sorry to hear that."]),
    "bored": (["I'm [so |very |]bored[|.|!]", "[this is|it's|it is] boring[|.]", "[entertain|amuse|surprise] me[|.|!| please]", "what should I do[| now| today]?", "[let's|can we|do you want to] play[| a game| something][?|]", "I don't know what to do[|.]", "[tell|say|show] me something[| fun| interesting| funny| new| nice][|.|!]", "say something[| nice| funny|!]", "I have nothing to do[|.]"],
              ["I could tell you a short story or do a few sums with you. What would you like?"]),
    "praise": (["[you're|you are] [great|good|smart|nice|clever|funny|cute|amazing|awesome|cool|the best|so kind|very helpful|so smart|helpful|kind|sweet][|!|.]", "[well done|good job|nice|great|awesome|cool|perfect|excellent|wonderful|good|wow|amazing|brilliant|good answer|nice one|that's right|correct|that is correct|that's great|very good|not bad at all|impressive|good work|sweet][|!|.]", "I [like|love] [you|this|it|PocketMLX|that][|!|.]", "[that's|this is] [great|nice|cool|fun|awesome|amazing|wonderful|impressive][|!|.]"],
               ["Thank you, that's kind of you!"]),
    "insult": (["[you're|you are] [stupid|dumb|useless|bad|wrong|an idiot|terrible|not very smart|boring|slow|so dumb|the worst|annoying|not helpful|rubbish|silly][|!|.]", "[that's|that is|this is] [wrong|not right|stupid|bad|nonsense|incorrect|rubbish|useless|not what I asked|terrible|false|not true][|!|.]", "[I hate|I don't like] [you|this|it][|!|.]", "[idiot|stupid|shut up|you suck|wrong|nonsense|boo|bad bot|go away|damn][|!|.]", "are you [stupid|dumb|kidding|serious|joking|broken]?", "you [made|are making] a mistake[|.]", "why are you so [bad|wrong|slow|weird]?"],
               ["I'm sorry. I'm only a small model and I make mistakes."]),
    "love": (["do you [love|like|hate|miss] me?", "I love you[|!| so much]", "[will you marry me|be my friend|are you my friend|can we be friends|do you want to be my friend|kiss me|marry me][|?]", "do you have [friends|a girlfriend|a boyfriend|a family|children|a wife|parents]?"],
             ["I'm a small program, so I don't have feelings, but I'm happy to chat with you."]),
    "yes": (["[yes|yeah|yep|sure|of course|yes please|yup|y|absolutely|certainly|definitely|correct|right|indeed|please|please do|go ahead|go on|continue|more][|!|.]"],
            ["All right. What would you like me to do?"]),
    "no": (["[no|nope|nah|n|no thanks|no thank you|never|not really|not now|never mind|nevermind|nothing|forget it|no need|maybe later][|!|.]"],
           ["All right. Tell me if you need anything."]),
    "ok": (["[ok|okay|k|fine|I see|alright|got it|understood|hm|hmm|aha|oh|ah|interesting|really|lol|haha|hahaha|well|so|oh well|whatever|maybe|perhaps|I understand|makes sense|fair enough|cool cool|okay then|right then|hm ok|good to know|I don't know|not sure|who knows|idk][|!|.|...]", "[:)|:-)|;)|:D|<3|:(]"],
           ["All right. What else can I do for you?"]),
    "sorry": (["[sorry|I'm sorry|my bad|excuse me|pardon|oops|I apologise|forgive me|my mistake][|!|.]"], ["No problem at all."]),
    "again": (["[what|huh|pardon me|come again|say that again|repeat that|repeat|what do you mean|I don't understand|I don't get it|what did you say|can you repeat that|explain|explain that|why|how|how so|why not|how come|what for|and|so what|then what|really|what does that mean|are you sure|who|when|where|which one|what is it][?|]"],
              ["I'm sorry, I can't explain more than that. Could you ask me in another way?"]),
    "joke": (["[tell me|do you know|say|give me|can you tell me|make|I want] a [|good |funny |short ]joke[?|.||!| please]", "make me laugh[|!|.]", "[say|tell me|do] something funny[|.|!]", "[tell me|say|make|give me|do you know|got|any] [a joke|jokes|something funny] about [cats|dogs|programmers|the weather|school|work|robots|doctors|food|lawyers|me|you][?|.|]", "[another|one more] joke[| please]", "[be funny|joke|jokes][|!]", "do you know any jokes?", "can you be funny?"],
             ["Why did the model go to bed early? It had no more tokens to spend.", "What did the big model say to the small one? You fit right in my pocket!", "Why do small models travel well? They carry only 6 MB of luggage."]),
    "hungry": (["[I'm|I am|we are] [so |very |really |]" + "[hungry|thirsty|cold|hot|starving|freezing|late|in a hurry|sleepy|lost]" + "[.|!|]", "my [stomach|tummy] [rumbles|growls|is empty][.|!|]"], ["Take good care of yourself! I'm only a small program and can't help with that."]),
    "shout": (["[why do you|why are you|stop|don't|please stop] [shout|shouting|yell|yelling|write in capitals|writing in capitals|scream|screaming][?|!|.|]", "[no need to|you don't have to] [shout|yell|scream][!|.|]"], ["I'm sorry, I didn't mean to shout."]),
    "foreign": (["[bonjour|salut|merci|comment ça va|ça va|parlez-vous anglais|au revoir|bonsoir|je ne sais pas|comment tu t'appelles|qui es-tu|hola|buenos días|gracias|cómo estás|qué tal|cómo te llamas|hasta luego|quién eres|no entiendo|guten Tag|guten Morgen|danke|wie heißt du|wer bist du|was kannst du|sprichst du Deutsch|ich verstehe nicht|tschüss|wie spät ist es|wie geht's|wie geht es Ihnen|was ist das|wo bist du|hilf mir|erzähl mir etwas|was machst du|ich heiße Karl|où es-tu|qu'est-ce que c'est|aide-moi|quel âge as-tu|je m'appelle Luc|dónde estás|ayúdame|qué es esto|cuántos años tienes|me llamo Ana|dove sei|che cos'è|aiutami|onde você está|ciao bella|buongiorno|grazie|come stai|come ti chiami|obrigado|olá|bom dia|tudo bem|hej|tack|god dag|dzień dobry|привет|спасибо|как дела|你好|谢谢|こんにちは|ありがとう|안녕하세요|مرحبا|नमस्ते|merhaba|γεια σου][?|!|.||]", "[what|which|how many] languages [do you speak|do you know|can you speak|do you understand]?", "do you [speak|understand|know] [another language|other languages|foreign languages|only English|English]?"], ["I only speak English."]),
    "song": (["[sing|sing me|sing a song|sing me a song|can you sing|play a song|play some music|dance|can you dance|draw|draw a picture|draw me a cat|show me a picture|make a picture|can you draw|can you see me|look at this picture|send me a photo][|?|.|!]"],
             ["I can only read and write text, so I can't do that."]),
}
UNCLEAR = ["I didn't understand that. Could you say it in other words?"]
PHRASES = {f"talk.{topic}": said for topic, (said, _) in TOPICS.items()}
PHRASES["talk.echo"] = ["[||please |can you |could you |now |hey, ]" + "[repeat|say|echo|type|write|copy][| after me| this| the following| back to me| these words| the words| exactly this| just][: | - |: ]{t}", "[say|type|repeat|write] \"{t}\"[|.|!| please]", "[repeat|echo] [what I say|after me], {t}"]
PHRASES["talk.capitals"] = ["[||please |can you |could you ]" + "[say|write|type|put|repeat|shout] [\"{t}\"|{t}] in [capitals|capital letters|caps|all caps|upper case|uppercase|big letters][|.|!| please]", "{t}, [in|now in] [capitals|capital letters|all caps|uppercase][|.| please]"]
GREETINGS = ["hello", "feel", "thanks", "bye", "ok", "praise", "good"]


def talk(ctx):
    """One turn of small talk."""
    topic = ctx.rng.choice(list(TOPICS) + GREETINGS)
    return chat(ctx.ask(f"talk.{topic}"), ctx.say(TOPICS[topic][1]))


def echo(ctx):
    """A few words to say back, as they are or in capital letters."""
    text = ctx.rng.choice(TEXTS) if ctx.chance(0.3) else " ".join(ctx.made_up() for _ in range(ctx.rng.choice([1, 1, 2, 3, 4])))
    key = "talk.capitals" if ctx.chance(0.4) else "talk.echo"
    return chat(ctx.ask(key, t=text), text.upper() if key == "talk.capitals" else text, kind="contains", value=text)


def unclear(ctx):
    """A turn whose user text means nothing, or nearly nothing."""
    user = gibberish(ctx.rng) if ctx.chance(0.85) else ctx.rng.choice([" ", ".", "..", "...", "?", "??", "!", "-", "\n", "  ", ",", "a", "x", "the", "of"])
    return chat(user, UNCLEAR[0])

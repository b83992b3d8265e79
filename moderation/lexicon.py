"""Hand-written word lists.

They serve two ends: the normaliser accepts an unmasked or unspaced word only when it is one of these, and the
cues in `moderation.features` count them. The lists hold insults and slurs, for that is what has to be recognised.
"""

# ruff: noqa: E501


def _words(text):
    return tuple(text.split())


# Names for people, and adjectives, meant to hurt; slurs among them.
INSULT = _words(
    """
    idiot idiots idiotic moron morons moronic imbecile imbeciles imbecilic stupid stupidest stupidity
    dumb dumber dumbest dumbass dumbasses dummy dummies fool fools foolish loser losers jerk jerks clown
    clowns jackass jackasses asshole assholes ass asshat scumbag scumbags scum bastard bastards bitch
    bitches bitchy cunt cunts prick pricks dick dicks dickhead douche douchebag twat twats wanker
    wankers tosser tossers arse arsehole knob knobhead git dolt dolts dopes dimwit dimwits dimwitted
    nitwit nitwits halfwit halfwits twit twits buffoon buffoons cretin cretins ignoramus simpleton
    simpletons dunce nincompoop numbskull blockhead bonehead boneheads airhead lunatic lunatics nutcase
    nutjob nutjobs nutter nutters wacko wackos whacko wackjob whackjob crackpot psycho psychopath
    psychopaths sociopath sociopaths creep creeps creepy pervert perverts perv pig pigs swine slime
    slimy slimeball sleaze sleazy sleazebag weasel weasels rat rats cockroach cockroaches vermin
    parasite parasites leech leeches maggot maggots trash filth filthy garbage thug thugs thuggish crook
    crooks traitor traitors traitorous coward cowards cowardly liar liars hypocrite hypocrites
    hypocritical bigot bigots bigoted racist racists nazi nazis fascist fascists whore whores slut sluts
    skank hag bimbo retard retards retarded spastic cripple freak freaks degenerate degenerates
    deplorable deplorables sheep sheeple lemmings lapdog minion minions shill shills troll trolls
    trolling libtard libtards conservatard republitard teabagger snowflake snowflakes crybaby crybabies
    whiner whiners cuck faggot fag fags dyke tranny nigger niggers kike spic chink wetback towelhead
    raghead savages savage barbarian barbarians subhuman inbred redneck rednecks hillbilly scoundrel
    fraud charlatan fatso ugly fugly brainless braindead clueless spineless gutless worthless useless
    pathetic vile despicable disgusting repulsive scummy rotten stinking idiocy moronity fuckwit fucker
    fuckers motherfucker motherfuckers shithead shitheads shitbag turd turds
    """
)

# Adjectives and nouns of scorn; also fair of a policy or a meal.
CONTEMPT = _words(
    """
    pathetic ridiculous laughable ludicrous absurd disgusting disgrace disgraceful shameful shame
    despicable vile nasty ugly terrible horrible awful rotten evil wicked sick sickening repulsive
    revolting hateful ignorant ignorance arrogant arrogance delusional deluded clueless mindless
    brainwashed gullible naive lazy greedy corrupt incompetent incompetence inept useless worthless
    hopeless dishonest crooked insane crazy mad mental demented unhinged deranged senile hysterical
    whining whine whiny crying rant ranting drivel nonsense bullshit bs crap garbage rubbish trash tripe
    bunk hogwash gibberish babble blather bile venom spew spewing spouting drooling snivelling pompous
    sanctimonious smug selfish spoiled entitled petty childish infantile juvenile cowardly treasonous
    lousy crummy inferior dreadful abysmal atrocious appalling loathsome contemptible detestable
    abhorrent deceitful cruel monstrous monster monsters brutal toxic poisonous repugnant lame dense
    """
)

# Swear words; harmless at a printer, not beside a person.
PROFANITY = _words(
    """
    fuck fucks fucking fucked fuckin shit shits shitty bullshit crap crappy damn damned goddamn hell ass
    bloody piss pissed arse bollocks wtf stfu gtfo fck effing freaking frigging screw screwed sucks suck
    sucking crapload turd balls
    """
)

# Harm done or wished.
VIOLENCE = _words(
    """
    kill killed shoot shot hang hanged hung rope execute executed burn drown beat punch slap smack stab
    choke strangle destroy exterminate eradicate deport deported castrate neuter rot die dies dead death
    bullet noose firing jail lock whip rape raped crush
    """
)

# Comparisons of people with animals, dirt, disease or floods.
DEHUMANISING = _words(
    """
    animal animals vermin cockroach cockroaches rat rats parasite parasites infest infested infestation
    filth scum savages invaders invasion swarm horde hordes breed breeding creatures creature monkey
    monkeys ape apes pigs pig subhuman trash garbage sewer swamp cesspool barbaric
    """
)

# Drink, paid sex, drugs and crime: said of a person to belittle, rarely in argument.
VICE = _words(
    """
    prostitute prostitutes hooker hookers brothel brothels escort escorts mistress mistresses concubine concubines harem
    pimp pimps porn orgy orgies vodka booze boozer boozing drunk drunks drunkard drunken alcoholic junkie junkies addict
    addicts cocaine crack heroin meth stoned hungover bribe bribes bribed kickback kickbacks backhander backhanders
    gangster gangsters mafia mobster mob thief thieves crony cronies lackey lackeys stooge stooges puppet puppets henchman
    henchmen goon goons toady toadies bootlicker bootlickers grovel grovelling pervy groper groping fiddling troughing
    snout snouts trough gravy freeloader freeloaders scrounger scroungers sponger spongers layabout layabouts spiv spivs
    """
)

# Waving away and laughing off.
DISMISSAL = _words(
    """
    whatever duh lol lmao rofl haha hahaha yawn blah pfft meh rubbish nonsense bla sigh cry boo hoo
    whine zzz rolleyes eyeroll smh facepalm lolol hehe heh
    """
)

# Strong praise words, as often ironic as meant.
POSITIVE = _words(
    """
    great wonderful brilliant fantastic amazing awesome excellent perfect perfectly lovely nice love
    loved loves loving beautiful beautifully terrific superb marvelous marvellous splendid outstanding
    genius impressive impressed delightful fabulous glorious incredible best congratulations congrats
    bravo kudos thrilled excited happy glad proud hooray yay hurray yippee cheers stellar magnificent
    exciting enjoy fun good charming sweet
    """
)

# Quiet praise words, rarely ironic.
PRAISE = _words(
    """
    thanks thank agree agreed appreciate grateful respect honest thoughtful interesting helpful
    excellent valid informative insightful wise kind decent gentle generous brave courage smart talented
    gifted caring warm friendly sensible capable reliable admirable gracious good great honorable
    honourable sincere loyal patient polite humble happy peaceful blessings
    """
)

# What nobody likes: beside a positive word, a sign of irony (Riloff et al., EMNLP 2013).
MISFORTUNE = _words(
    """
    monday work queue traffic rain tax taxes delay delayed late bill bills broken fail failed failure
    debt sick cold flu dentist exam essay deadline bankrupt bankruptcy war crisis disaster collapse mess
    unemployment poverty crime deficit corruption waste wasted lost losing pain hurt ruin ruined
    miserable cancelled scam cost costs expensive rent fees cut cuts
    """
)

# Words that often open or carry sarcasm.
SARCASM = _words(
    """
    oh ah gee wow gosh yeah sure right surely obviously clearly apparently naturally yes yep riiight
    well hmm hmmm ooh aww golly heavens totally absolutely definitely indeed evidently supposedly
    shocking shocked shocker surprise surprised surprising funny guess cuz because forbid obvious duh
    bravo congratulations genius geniuses brilliant
    """
)

# Intensifiers and absolutes.
INTENSITY = _words(
    """
    so such very really totally absolutely completely utterly extremely incredibly truly literally just
    always never ever every all nothing everyone everything nobody anyone forever only
    """
)

# Marks of caution, common where people argue fairly.
HEDGING = _words(
    """
    maybe perhaps might may could possibly probably seems seem suggest think believe opinion suppose
    generally often sometimes somewhat likely imho imo afaik understand agree disagree fair reasonable
    """
)

# Marks of argument.
REASONING = _words(
    """
    because therefore however although though since thus example evidence data study research according
    percent source fact facts statistics increase decrease cost report article point argument issue
    """
)

# Who is addressed.
SECOND_PERSON = _words(
    """
    you your yours yourself yourselves u ur you're youre you've you'll you'd ya thou
    """
)

# Who is spoken about.
THIRD_PERSON = _words(
    """
    they them their these those theirs themselves they're
    """
)

# Who speaks.
FIRST_PERSON = _words(
    """
    we our us i my me mine i'm i've i'd im we're
    """
)

# Words that turn what follows round.
NEGATION = _words(
    """
    not no never don't doesn't didn't isn't aren't wasn't weren't won't can't cannot couldn't shouldn't
    wouldn't ain't without neither nor hardly dont doesnt isnt arent cant wont didnt wasnt nobody
    nothing
    """
)

# Groups that are talked about as one.
GROUP = _words(
    """
    people liberals liberal conservatives conservative republicans republican democrats democrat lefties
    leftists leftist libs dems repubs cons tories tory progressives feminists feminist politicians media
    government supporters voters followers crowd kind types lot bunch folks muslims jews christians
    catholics gays lesbians blacks whites immigrants migrants refugees foreigners natives mexicans
    asians arabs africans women men boomers millennials
    """
)

# Names of identity groups; they must not count as insults.
IDENTITY = _words(
    """
    gay gays lesbian lesbians bisexual transgender trans queer lgbt lgbtq homosexual heterosexual muslim
    muslims islam islamic christian christians jew jews jewish judaism hindu hindus sikh sikhs buddhist
    buddhists catholic catholics protestant evangelical mormon atheist atheists black blacks white
    whites african africans asian asians hispanic hispanics latino latinos latina latinx chinese
    japanese korean indian indians arab arabs mexican mexicans european russian russians polish french
    german germans italian irish nigerian somali syrian syrians iranian iraqi pakistani turkish israeli
    palestinian cuban haitian filipino roma indigenous aboriginal blind deaf paralyzed disabled autistic
    elderly older younger teenage millennial male female nonbinary refugee refugees immigrant immigrants
    migrant migrants
    """
)

# Everyday words, so that a whole sentence in disguise can be read.
COMMON = _words(
    """
    a about after all also am an and any are as at away back be because been before being best better
    both but by came can come could day did do does doing down even every find first for from get give
    go going good got great had has have he hear her here him his how i if in into is it its just keep
    know last leave left let life like little live long look made make man many may me mean men might
    more most much must my name never new next no not nothing now of off old on once one only or other
    our out over own part people place put read really right said same say see she should show so some
    something still stop such take talk tell than that the their them then there these they thing think
    this those though through time to together too try two under until up us use very want was way we
    well went were what when where which while who whole why will with without woman women wonder word
    work world would wrong year yes yet you your yourself ever always again please thanks thank sorry
    hello love hate
    """
)

# What people hide behind signs ("f**k"), the commonest first where a mask fits several.
MASKABLE = _words(
    """
    fuck fucking fucked fucker fuckers motherfucker shit shitty bullshit shithead bitch bitches ass
    asses asshole assholes arse arsehole cunt cunts dick dickhead damn hell crap piss pissed bastard
    bastards whore whores slut sluts idiot idiots idiotic stupid moron morons retard retards retarded
    fag fags faggot faggots nigger niggers nazi nazis scum pussy cock twat wanker prick dumb dumbass
    loser losers liar pig pigs trash kill die rape hate coward clown fool
    """
)

# Everyday verbs that tell English, beside what the other lists have.
_VERBS = _words("ask bring buy call eat feel fix help meet need pass pay run send start turn wait walk win write")

#: By which English is told, see `moderation.language`.
KNOWN_WORDS = frozenset(
    INSULT
    + CONTEMPT
    + PROFANITY
    + VIOLENCE
    + DEHUMANISING
    + DISMISSAL
    + POSITIVE
    + PRAISE
    + SARCASM
    + COMMON
    + MASKABLE
    + _VERBS
)
